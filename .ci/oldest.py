"""Print the oldest versions that pyproject.toml allows, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
requirements = [
    *project["dependencies"],
    *(each for extra in project["optional-dependencies"].values() for each in extra),
]
bounds = (re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement) for requirement in requirements)
oldest = {f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound}
sys.stdout.writelines(sorted(oldest))
