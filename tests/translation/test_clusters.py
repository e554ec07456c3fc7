import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imgtranslate
from imgtranslate.images import encode_image, read_image

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


@pytest.mark.slow
def test_the_example_of_the_page_translates_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    rng = np.random.default_rng(0)
    for side in ("horses", "zebras"):
        (tmp_path / side).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (40 + index, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    imgtranslate.train(
        a=tmp_path / "horses",
        b=tmp_path / "zebras",
        out=tmp_path / "runs" / "horses2zebras",
        preset="tiny",
        settings={"data.crop_size": 32, "train.steps": 1},
        device="cpu",
    )
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]

    import pyarrow.parquet as parquet

    rows = parquet.read_table(tmp_path / "zebras-by-ray").to_pylist()
    translator = imgtranslate.load(tmp_path / "runs" / "horses2zebras", device="cpu")
    assert sorted(Path(row["path"]).name for row in rows) == ["0.png", "1.png", "2.png"]
    for row in rows:
        picture = read_image(tmp_path / "horses" / Path(row["path"]).name, channels=3)
        expected = encode_image(translator.translate_picture(picture), suffix=".png")
        assert row["bytes"] == expected
