"""Model cards, read as a hub does."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fixtures.command import run as command
from fixtures.models import model_header, save_model
from fixtures.pictures import save_picture
from fixtures.runs import make_run
from markdown_it import MarkdownIt

from imgtranslate.errors import ImgTranslateError
from imgtranslate.evaluation.card.card import write_card
from imgtranslate.pages.markdown import plain
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Pix2PixConfig
from imgtranslate.settings.parsing import build_settings

ROWS: list[dict[str, Any]] = [
    {"step": 10, "lr": 0.1, "gan_ab": 0.5, "validation": 1.5},
    {"step": 20, "lr": 0.1, "gan_ab": 0.5, "validation": 1.25},
]
SPREAD = {"mean": 0.25, "std": 0.125, "low": 0.2, "high": 0.3, "count": 6}
CHECKED = {
    "summary": {
        "directions": {
            "ab": {"mae": SPREAD, "count": 6, "verdict": "healthy", "reason": "the error is small"}
        }
    },
    "steps": {"ab": 1},
}
FIGURE = {"value": 0.125, "interval": [0.1, 0.15], "count": 6, "better": "lower"}


def evaluated(step: int = 1) -> dict[str, Any]:
    one = {
        "name": "/home/jane/runs/x",
        "direction": "ab",
        "step": step,
        "counts": {"translated": 6},
        "sizes": ["16x16"],
        "measures": {"swd": FIGURE, "swd_input": FIGURE},
    }
    return {"runs": [[one]]}


def with_sample(run: Path, *steps: int) -> Path:
    for step in steps:
        save_picture(run / f"samples/step_{step:07d}.png", seed=step)
    return run


def set_record(run: Path, **entries: Any) -> Path:
    settings, record = Run(run).read_config()
    Run(run).write_config(settings, record | entries)
    return run


def card_of(run: Path, **options: Any) -> str:
    return write_card(run, overwrite=True, **options).path.read_text("utf-8")


def front_matter(text: str) -> list[str]:
    _, front, _ = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    return front.strip().splitlines()


def rendered(text: str) -> str:
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body)


def test_a_hub_reads_its_front_matter(tmp_path: Path) -> None:
    lines = front_matter(card_of(make_run(tmp_path)))
    assert lines[:7] == [
        "library_name: imgtranslate",
        "pipeline_tag: image-to-image",
        "tags:",
        "- imgtranslate",
        "- gan",
        "- cyclegan",
        "- unpaired",
    ]
    assert all(line.startswith("# ") for line in lines[7:])
    assert "# license: cc-by-4.0" in lines


def test_it_has_figures_with_intervals_verdicts_data_and_commands(tmp_path: Path) -> None:
    run = with_sample(make_run(tmp_path, rows=ROWS), 1)
    (run / "cycle-check.json").write_text(json.dumps(CHECKED))
    (run / "evaluate.json").write_text(json.dumps(evaluated()))
    set_record(run, pictures_a=1067, pictures_b=50, fingerprint_a="12ab")
    page = rendered(text := card_of(run))
    assert "<h1>horses to zebras</h1>" in page
    assert "horses → zebras: healthy</strong>: the error is small." in page
    assert "0.2000 to 0.3000" in page
    assert "sliced Wasserstein distance ↓" in page
    assert "0.1000 to 0.1500" in page
    assert "1.500 at step 10, and at best 1.250 at step 20" in page
    assert "1,067 pictures to train on, 2 held out" in page
    assert "<code>12ab</code>" in page
    assert "only 50 pictures" in page
    assert "imgtranslate translate in.jpg --model ab.safetensors" in page
    assert 'src="samples/step_0000001.png"' in page
    assert "https://arxiv.org/abs/1703.10593" in page
    assert text.count("TODO (author):") == 5


def test_all_settings_train_again(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (block,) = re.findall(r"```toml\n(.*?)```", card_of(run), re.DOTALL)
    own = {"a": "a", "b": "b", "crop_size": 24, "load_size": 24}  # large enough to train
    again = build_settings(layers=[tomllib.loads(block), {"data": own}])
    settings, _ = Run(run).read_config()
    assert again.generator == settings.generator
    assert tomllib.loads(block)["data"]["crop_size"] == settings.data.crop_size
    assert again.data.name_a == "horses"


def test_no_path_is_told(tmp_path: Path) -> None:
    run = with_sample(make_run(tmp_path / "home-of-jane"), 1)
    (run / "evaluate.json").write_text(json.dumps(evaluated()))
    text = card_of(run)
    for private in ("jane", str(tmp_path), "train.png", "held_a", "/run"):
        assert private not in text
    assert "Folder `a`" in text


HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://evil.example/p.png)",
    "**b** _i_ `c` ~~s~~ | cell",
    "$$\\dangerous$$ :smile: www.evil.example @all #1",
    "a\n---\n# heading",
    "&lt;b&gt; &#60;i&#62;",
    "</details><img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_plain_text(tmp_path: Path, name: str) -> None:
    rows = [*ROWS, {"step": 21, "health": {"x": name}, name: float("nan")}]
    run = make_run(tmp_path, names=(name, "zebras"), rows=rows)
    set_record(run, fingerprint_a=name, torch=name)
    checked = json.loads(json.dumps(CHECKED))
    checked["summary"]["directions"]["ab"] |= {"verdict": name, "reason": name}
    (run / "cycle-check.json").write_text(json.dumps(checked))
    figures = evaluated()
    figures["runs"][0][0]["measures"] |= {name: FIGURE}
    figures["runs"][0][0]["left_out"] = {name: name}
    (run / "evaluate.json").write_text(json.dumps(figures))
    text = card_of(run)
    usual = rendered(card_of(make_run(tmp_path / "usual", rows=rows[:2])))
    page = rendered(text)
    tags = set(re.findall(r"<[^>]*>", page)) - set(re.findall(r"<[^>]*>", usual))
    assert tags <= {"<strong>", "</strong>", "<table>", "</table>"} | set(
        re.findall(r"</?(?:code|t[hrd]|thead|tbody)(?: style=\"text-align:right\")?>", page)
    )
    shown = name.encode("unicode_escape").decode() if "\n" in name else name
    title = re.search(r"<h1>(.*)</h1>", page)
    assert title is not None
    plain_title = title[1]
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        plain_title = plain_title.replace(entity, char)
    assert plain_title == f"{shown} to zebras"
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "$" not in outside
    assert front_matter(text)[0] == "library_name: imgtranslate"


def test_usual_names_stay_readable() -> None:
    assert plain("labels: 3x3, 95 % (of 1.5), a-b") == "labels: 3x3, 95 % (of 1.5), a-b"


def test_a_run_without_checks_says_so(tmp_path: Path) -> None:
    run, notices = make_run(tmp_path), list[str]()
    text = card_of(run, notice=notices.append)
    assert "has not been measured on pictures" in text
    assert "There was no validation" in text
    assert "samples/" not in text
    assert [line.split(" has")[0] for line in notices] == ["cycle-check", "evaluate"]


def test_an_unfinished_and_a_diverged_training_are_told(tmp_path: Path) -> None:
    warning = "the losses have diverged: gan_ab has 1e9. Start again"
    last = {"step": 30, "gan_ab": float("nan"), "health": {"diverged": warning}}
    run = make_run(tmp_path, rows=[*ROWS, last])
    text = card_of(set_record(run, pictures_a=10, pictures_b=12))
    assert "**The training is unfinished**: step 30 of 2,400." in text
    assert "**The training diverged**: gan&#95;ab was not finite at the end." in text
    assert "warned at step 30: the losses have diverged: gan&#95;ab has 1e9." in text
    assert "Start again" not in text
    assert "unfinished" not in card_of(make_run(tmp_path / "unknown", rows=ROWS))


def test_an_early_end_is_not_unfinished(tmp_path: Path) -> None:
    rows = [{"step": 10 * n, "gan_ab": 0.5, "validation": 1.0 + n} for n in range(1, 5)]
    run = set_record(make_run(tmp_path, rows=rows), pictures_a=10, pictures_b=12)
    text = run.joinpath("config.toml").read_text("utf-8")
    assert "patience = 0" in text
    run.joinpath("config.toml").write_text(text.replace("patience = 0", "patience = 3"))
    text = card_of(run)
    assert "ended early, at step 40 of 2,400: no gain in 3 validations." in text
    assert "unfinished" not in text


def test_figures_of_earlier_models_are_marked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "evaluate.json").write_text(json.dumps(evaluated(step=7)))
    (run / "cycle-check.json").write_text(json.dumps({**CHECKED, "steps": {"ab": 7}}))
    text = card_of(run)
    assert "`evaluate` measured the models of step 7, not those of step 1." in text
    assert "healthy** (measured at step 7):" in text


def test_a_method_of_one_direction(tmp_path: Path) -> None:
    run = make_run(tmp_path, method=Pix2PixConfig())
    (run / "ba.safetensors").unlink()
    notices: list[str] = []
    text = card_of(run, notice=notices.append)
    assert "Translates pictures of horses to zebras. Learnt from pairs" in text
    assert "ba.safetensors" not in text
    assert "in one direction only" in text
    assert "- paired" in front_matter(text)
    assert not any("cycle-check" in line for line in notices)


def test_the_best_models_are_described(tmp_path: Path) -> None:
    run = with_sample(make_run(tmp_path), 5, 10, 30)
    for way in ("ab", "ba"):
        save_model(run / f"best/{way}.safetensors", model_header(direction=way, step=20))
    card = write_card(run)
    assert card.models == ("best/ab.safetensors", "best/ba.safetensors")
    assert card.sample == run / "samples/step_0000010.png"
    text = card.path.read_text("utf-8")
    assert "the best validation, step 20" in text
    assert "--model best/ab.safetensors" in text


def test_its_picture_is_copied_beside_it(tmp_path: Path) -> None:
    run = with_sample(make_run(tmp_path), 1)
    card = write_card(run, output=tmp_path / "hub/README.md")
    copy = tmp_path / "hub/samples/step_0000001.png"
    assert card.sample == copy
    assert copy.is_file()
    before = (run / "samples/step_0000001.png").read_bytes()
    write_card(run)  # in the run, where the picture is already
    assert (run / "samples/step_0000001.png").read_bytes() == before


def test_nothing_is_overwritten_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_sample(make_run(tmp_path), 1)
    page = tmp_path / "hub/README.md"
    page.parent.mkdir()
    page.write_text("mine")
    assert command("card", run, "-o", page) == 2
    assert f"error: {page}: already exists" in capsys.readouterr().err
    assert [path.name for path in page.parent.iterdir()] == ["README.md"]
    page.unlink()
    picture = save_picture(tmp_path / "hub/samples/step_0000001.png")
    mine = picture.read_bytes()
    assert command("card", run, "-o", page) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (picture.read_bytes(), page.exists()) == (mine, False)
    assert command("card", run, "-o", page, "--overwrite") == 0
    assert page.read_text("utf-8").startswith("---\n")
    assert picture.read_bytes() != mine


def test_the_command_says_what_to_publish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_sample(make_run(tmp_path), 1)
    assert command("card", run) == 0
    out, err = capsys.readouterr()
    assert out == f"{run / 'README.md'}\n"
    assert "5 places marked TODO need your words" in err
    assert "publish: README.md, ab.safetensors, ba.safetensors, samples/step_0000001.png" in err
    assert f"Run imgtranslate evaluate {run}" in err


def test_damaged_files_are_told_or_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    (run / "samples/step_0000001.png").write_bytes(b"no picture")
    (run / "evaluate.json").write_text("{")
    (run / "metrics.jsonl").write_bytes(b"\xff\x00{[\n")
    assert command("card", run) == 0
    err = capsys.readouterr().err
    assert "evaluate.json is damaged" in err
    assert "The card has no picture" in err
    assert "samples/" not in (run / "README.md").read_text("utf-8")
    for path in (run, tmp_path / "none"):
        assert command("card", path, "-o", tmp_path) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (run / "ab.safetensors").write_bytes(b"damaged")
    assert command("card", run, "--overwrite") == 2
    assert capsys.readouterr().err.count("\n") == 1
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(ImgTranslateError, match="cannot be written"):
        write_card(make_run(tmp_path / "other"), output=blocker / "README.md")


def test_torch_is_not_imported(tmp_path: Path) -> None:
    run = with_sample(make_run(tmp_path), 1)
    program = (
        "import sys\nsys.modules['torch'] = None\nfrom imgtranslate import cli\n"
        "sys.exit(cli.run(['card', sys.argv[1]]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(run)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
