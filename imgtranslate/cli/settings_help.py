"""The settings of a training in help, in ``train --list-settings`` and in ``docs/settings.md``.

``python -m imgtranslate.cli.settings_help`` prints the page.
"""

import json
import shutil
import textwrap
from collections.abc import Iterator

import typer
from rich.markup import escape

from imgtranslate.cli.terminal import FLAGS, result, say, with_flags
from imgtranslate.settings.config import Tree
from imgtranslate.settings.listing import Setting, explain_section, list_settings
from imgtranslate.settings.parsing import SECTIONS
from imgtranslate.settings.presets import METHODS, PRESETS

NARROWEST = 60  # columns
PAGE = """\
# Settings

Every setting of a training, with its default, the values that it takes, and what it controls. A
default with a name after it, as in "64, 32 (fast)", belongs to that kind, method or preset. Names
in italics are the kinds of the section that have the setting; other kinds refuse it.

The daily settings have flags. Any setting can be given as `--set section.name=value`, or in a TOML
file with `--config`; the `config.toml` of a run is such a file. Flags and `--set` win over the
file, and the file wins over the method and the preset. [train](train.md) is the tutorial.

```sh
imgtranslate train --list-settings
imgtranslate train --list-settings --json
imgtranslate train --a ./horses --b ./zebras --size 128 --set method.lambda_identity=0.2
```

This page is written by `python -m imgtranslate.cli.settings_help > docs/settings.md`.
"""


def explain(setting: Setting) -> str:
    """Write the help text of a setting, with its values and defaults in brackets."""
    explanation = f"{with_flags(setting.explanation)}."
    if setting.type == "text":
        return explanation
    bounds = "" if setting.type == "true, false" else f"{setting.values}; "
    return f"{explanation} [dim]{escape(f'[{bounds}default {setting.defaults}]')}[/dim]"


def explain_flag(flag: str) -> str | None:
    """Write the help text of a flag that is a setting; None for other flags."""
    settings = {of: name for name, of in FLAGS.items()}
    return explain(list_settings()[settings[flag]]) if flag in settings else None


def list_choices() -> str:
    """List the choices of options and settings, for the end of a help text."""
    rows = {"--method": [*METHODS], "--preset": [*PRESETS]}
    for setting in list_settings().values():
        if setting.choices and not setting.type and setting.name not in {*FLAGS, "method.kind"}:
            rows[setting.name] = [*setting.choices]
    width = max(map(len, rows))
    lines = [
        _hanging(f"  {name:{width}}  {', '.join(row)}", width + 4) for name, row in rows.items()
    ]
    return "\n".join(["Choices, with the default first (--set NAME=VALUE):", *lines])


def print_settings(*, as_json: bool) -> None:
    """Print every setting with its defaults, values and explanation."""
    settings = list_settings().values()
    if as_json:
        result(json.dumps([_record(setting) for setting in settings], indent=2))
        return
    say("Set any of them with --set NAME=VALUE, or in a TOML file for --config.")
    for section in SECTIONS:
        result(f"\n{typer.style(section, bold=True)}: {explain_section(section)}", styled=True)
        for setting in settings:
            if setting.section == section:
                result("\n".join(_lines(setting)), styled=True)


def page() -> str:
    """Write ``docs/settings.md``."""
    return "\n".join([PAGE, *_tables()])


def _record(setting: Setting) -> Tree:
    return {
        "name": setting.name,
        "flag": FLAGS.get(setting.name),
        "default": setting.default,
        "other_defaults": setting.other_defaults,
        "kinds": setting.kinds,
        "type": setting.type or "word",
        "choices": setting.choices,
        "limits": setting.limits,
        "explanation": setting.explanation,
    }


def _lines(setting: Setting) -> Iterator[str]:
    """Write a setting in two lines, or more if the terminal is narrow."""
    first = _hanging(f"  {setting.name} = {setting.defaults}", 6)
    yield first.replace(setting.name, typer.style(setting.name, fg=typer.colors.CYAN), 1)
    only = f"{', '.join(setting.kinds)}: " if setting.kinds else ""
    values = f"[{setting.values}]".replace(" ", "\xa0")  # not to be broken
    line = f"{only}{setting.explanation} {values} {FLAGS.get(setting.name, '')}"
    yield _hanging(f"{' ' * 6}{line}", 6).replace("\xa0", " ")


def _hanging(text: str, indent: int) -> str:
    """Wrap a line at the width of the terminal and indent the following lines."""
    width = max(NARROWEST, shutil.get_terminal_size().columns - 2)
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _tables() -> Iterator[str]:
    settings = list_settings().values()
    for section in SECTIONS:
        yield f"## {section}\n\n{explain_section(section)}.\n"
        yield "| setting | default | values | what it controls |\n| --- | --- | --- | --- |"
        yield from (_row(setting) for setting in settings if setting.section == section)
        yield ""


def _row(setting: Setting) -> str:
    flag = f" (`{FLAGS[setting.name]}`)" if setting.name in FLAGS else ""
    only = f"*{', '.join(setting.kinds)}:* " if setting.kinds else ""
    cells = f"{setting.defaults} | {setting.values} | {only}{setting.explanation}"
    return f"| `{setting.name}`{flag} | {cells} |"


if __name__ == "__main__":
    result(page().rstrip("\n"))
