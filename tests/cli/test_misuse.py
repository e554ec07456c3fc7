"""What people and damaged files do to a run, and the one line that answers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from imgtranslate.cli import run
from imgtranslate.errors import ImgTranslateError
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import (
    METADATA_KEY,
    header_json,
    load_tensors,
    read_model_header,
    read_state_header,
)
from imgtranslate.runs.folder import Run, new_run
from imgtranslate.training.train import resume, train
from imgtranslate.translation.codes import read_codes

SMALL = {
    "data.crop_size": 16,
    "generator.base_channels": 4,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "train.log_every": 2,
    "train.sample_every": 100,
    "train.steps": 3,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of pictures and a run of three steps."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for side in ("horses", "zebras"):
        (home / side).mkdir()
        for index in range(10):
            values = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(values).save(home / side / f"{index}.png")
    train(a=home / "horses", b=home / "zebras", out=home / "run", settings=SMALL, device="cpu")
    return home


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """The run, to be damaged."""
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def refused_resume(folder: Path) -> str:
    with pytest.raises(ImgTranslateError) as refusal:
        resume(folder, settings={"train.steps": 4}, device="cpu")
    return one_line(str(refusal.value))


def one_line(text: str) -> str:
    assert text.isprintable()
    assert len(text) < 600
    return text


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that is refused with 2."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return one_line(err.rstrip("\n"))


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r"crop_size = 16", "crop_size = 17", "data.crop_size 17"),
        (r"load_size = \d+", "load_size = 8", "data.load_size 8: smaller than the crop"),
        (r"crop_size = 16", "crop_size = 12", "an image pool has"),
        (r'kind = "adam"', 'kind = "rmsprop"', "the optimizer state of parameter"),
        (r"pool_size = 50", "pool_size = 1", "an image pool has"),
        (r"base_channels = 4", "base_channels = 5", "size mismatch"),
        (r"held_out_a = \[[^]]*\]", "held_out_a = 5", "record.held_out_a: not a list"),
        (r"held_out_a = \[[^]]*\]", "held_out_a = [5]", "record.held_out_a: not a list"),
        (r"held_out_a = \[[^]]*\]", 'held_out_a = ["gone.png"]', "gone.png: a held-out picture"),
        (r"left_out_a = \[\]", "left_out_a = [1]", "record.left_out_a: not a list"),
        (r"(?m)^a = .*$", 'a = "/nowhere"', "config.toml: data.a /nowhere: no such folder"),
        (r"seed = 0", "seed = " + "9" * 5000, "config.toml: damaged"),
        (r"seed = 0", "seed = " + "[" * 5000, "config.toml: damaged"),
    ],
)
def test_an_edited_config_is_checked_before_the_first_step(
    copied: Path, pattern: str, replacement: str, said: str
) -> None:
    config = copied / "config.toml"
    before = config.read_text()
    config.write_text(re.sub(pattern, lambda _: replacement, before))
    assert config.read_text() != before
    assert said in refused_resume(copied)


Tensors = dict[str, torch.Tensor]
DAMAGES: dict[str, Callable[[Tensors], object]] = {
    "a moment gone": lambda t: t.pop("generators/0/exp_avg"),
    "a moment of another shape": lambda t: t.update({"generators/0/exp_avg": torch.zeros(1)}),
    "steps in the plural": lambda t: t.update({"generators/0/step": torch.ones(5)}),
    "a moment too many": lambda t: t.update({"generators/0/more": t["generators/0/step"].clone()}),
    "a parameter too many": lambda t: t.update({"generators/9999/step": torch.tensor(1.0)}),
    "pool flat": lambda t: t.update({"pool_a/images": torch.zeros(3)}),
    "pool of another size": lambda t: t.update({"pool_a/images": torch.zeros(2, 3, 8, 8)}),
    "a sum without count": lambda t: t.pop("loss_count/cycle_a"),
    "a count without sum": lambda t: t.pop("loss_sum/cycle_a"),
    "a count of nothing": lambda t: t.update({"loss_count/cycle_a": torch.tensor(0)}),
    "a sum of many": lambda t: t.update({"loss_sum/cycle_a": torch.ones(4)}),
    **{
        f"pool of {count} channels": lambda t, count=count: t.update(
            {"pool_a/images": torch.zeros(2, count, 16, 16)}
        )
        for count in (0, 1, 4)
    },
    **{
        f"{name} of {dtype}": lambda t, name=name, dtype=dtype: t.update({name: t[name].to(dtype)})
        for name in ("pool_a/images", "loss_sum/cycle_a", "validations", "generator_ab/head.bias")
        for dtype in (torch.complex64, torch.float8_e4m3fn)
    },
    "a weight that is not finite": lambda t: t["generator_ab/head.bias"].fill_(torch.nan),
    "an infinite moment": lambda t: t["generators/0/exp_avg"].fill_(torch.inf),
    "pool of doubles": lambda t: t.update({"pool_a/images": t["pool_a/images"].double()}),
    "a count that is infinite": lambda t: t.update({"loss_count/cycle_a": torch.tensor(torch.inf)}),
    "two counts": lambda t: t.update({"loss_count/cycle_a": torch.tensor([1, 1])}),
    "a negative rate": lambda t: t.update({"rate_factor": torch.tensor(-1.0).double()}),
    "no validations": lambda t: t.pop("validations"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_found_before_the_first_step(
    copied: Path, damage: Callable[[Tensors], object]
) -> None:
    state = copied / "state.safetensors"
    tensors, header = load_tensors(state), read_state_header(state)
    damage(tensors)
    save_file(tensors, state, metadata={METADATA_KEY: header_json(header)})
    before = {file: file.read_bytes() for file in copied.rglob("*") if file.is_file()}
    said = refused_resume(copied)
    assert before == {file: file.read_bytes() for file in copied.rglob("*") if file.is_file()}
    assert said.startswith(f"{state}: does not fit the settings in config.toml: ")
    assert said.endswith(". Restore both from one backup")


def test_metrics_that_are_no_metrics_are_dropped(copied: Path) -> None:
    metrics = copied / "metrics.jsonl"
    good = '{"step": 2, "cycle_a": 1.0}'
    metrics.write_text(f'{{"step": 1e999}}\n[]\n{"[" * 100_000}\n{good}\n{{"step": 2')
    Run(copied).rewind_metrics(3)
    assert metrics.read_text() == f"{good}\n"


def test_metrics_that_are_a_folder_are_refused(copied: Path) -> None:
    (copied / "metrics.jsonl").unlink()
    (copied / "metrics.jsonl").mkdir()
    assert "metrics.jsonl: not a file" in refused_resume(copied)


def test_one_run_is_trained_by_one_process(copied: Path) -> None:
    code = f"from pathlib import Path; from imgtranslate.runs.folder import Run\n\
with Run(Path({str(copied)!r})).only_one(print): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert "another process is training it" in refused_resume(copied)
        other.kill()
    assert resume(copied, settings={"train.steps": 4}, device="cpu").finished


def test_two_processes_prepare_runs_apart_and_the_first_wins(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def prepare_two() -> None:
        with new_run(out) as late, new_run(out) as early:
            assert late.folder != early.folder
            (early.folder / "mine").touch()

    with pytest.raises(ImgTranslateError, match="cannot be created"):
        prepare_two()
    assert (out / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_cannot_be_begun_leaves_nothing(home: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImgTranslateError, match="cannot be created"):
        train(
            a=home / "horses",
            b=home / "zebras",
            out=tmp_path / "taken",
            settings=SMALL,
            device="cpu",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lr", "0.1"], "--lr: cannot change on --resume"),
        (["--preset", "tiny"], "so --preset cannot be combined"),
        (["--check"], "so --check cannot be combined"),
    ],
)
def test_what_a_resume_would_ignore_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in refused(capsys, "train", "--resume", str(home / "run"), *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpu", "0", "--device", "cpu"], "both name a device"),
        (["--device", "gpu"], "Did you mean cuda?"),
        (["--device", "cpu:1"], "Use --device cpu"),
        (["--workers", "9" * 5000], "--workers 999"),
        (["--config", "/dev/zero"], "/dev/zero: not valid TOML: longer than"),
        (["--out", "x" * 300], "File name too long"),
        (["--set", "data.held_out_a=" + "x" * 300], "File name too long"),
    ],
)
def test_wrong_options_are_one_line(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ["--a", str(home / "horses"), "--b", str(home / "zebras")]
    line = refused(capsys, "train", *folders, "--preset", "tiny", "--steps", "1", *options)
    assert said in line


def test_links_in_a_circle_are_no_folder(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    line = refused(capsys, "train", "--a", str(tmp_path / "x"), "--b", str(home / "zebras"))
    assert "no such folder" in line


@pytest.mark.parametrize("name", ["../../elsewhere", "a/b", "a\0b", "a\nb\x1b[31m", "", ".."])
def test_a_run_lies_in_runs_whatever_its_domains_are_called(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = train(
        a=home / "horses",
        b=home / "zebras",
        settings={**SMALL, "train.steps": 1, "data.name_a": name},
        device="cpu",
    )
    assert made.run.parent == Path("runs")
    assert re.fullmatch(r"[\w-]+2zebras", made.run.name)


@pytest.mark.parametrize("command", ["translate", "export", "cycle-check", "init"])
def test_a_pipe_is_no_model(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    pipe, picture = tmp_path / "pipe", str(home / "horses" / "0.png")
    os.mkfifo(pipe)
    folders = ["--a", str(home / "horses"), "--b", str(home / "zebras")]
    arguments = {
        "translate": ["translate", picture, "--model", str(pipe)],
        "export": ["export", "--model", str(pipe), "-o", str(tmp_path / "x.onnx")],
        "cycle-check": ["cycle-check", picture, "--ab", str(pipe), "--ba", str(pipe)],
        "init": ["train", *folders, "--out", str(tmp_path / "run"), "--init", str(pipe)],
    }
    assert run(arguments[command]) == 2
    assert "a pipe or a device" in capsys.readouterr().err


def test_a_header_says_little_of_a_fault(home: Path, tmp_path: Path) -> None:
    model = home / "run" / "ab.safetensors"
    header = json.loads(header_json(read_model_header(model))) | {"x\n" * 100_000: 1}
    foreign = tmp_path / "ab.safetensors"
    save_file(load_tensors(model), foreign, metadata={METADATA_KEY: json.dumps(header)})
    with pytest.raises(ImgTranslateError) as refusal:
        read_model_header(foreign)
    assert one_line(str(refusal.value)).endswith("Use another copy of the file")


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help"]) == 0
    assert "cycle-check" in capsys.readouterr().out


def test_a_wrong_option_leads_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--nope").endswith("See imgtranslate --help")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (
            "generator.depth=6",
            "generator.depth: resnet has no such setting. Remove it, or set generator",
        ),
        ("method.lambda_l1=6", "set method.kind to pix2pix or bicyclegan"),
        ("data.flip=yes", "data.flip yes: not accepted. It should be true or false"),
        ("schedule.milestones=5", "It should be a list, as in [5]"),
        ("train.log=csv", 'It should be a list, as in ["csv"]'),
        ("train.seed=" + "9" * 5000, "--seed 999"),
    ],
)
def test_a_setting_says_what_fits(
    home: Path, capsys: pytest.CaptureFixture[str], assignment: str, said: str
) -> None:
    folders = ["--a", str(home / "horses"), "--b", str(home / "zebras")]
    assert said in refused(capsys, "train", *folders, "--set", assignment)


def test_samples_that_were_tidied_away_come_back(copied: Path) -> None:
    shutil.rmtree(copied / "samples")
    assert resume(copied, settings={"train.steps": 4}, device="cpu").finished
    assert [path.name for path in (copied / "samples").iterdir()] == ["step_0000004.png"]


def test_a_mistyped_first_row_is_no_heading(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{home}/horses/{n}.png,{home}/zebras/{n}.png" for n in range(3)]
    table = tmp_path / "pairs.csv"
    command = ["train", "--method", "pix2pix", "--pairs", str(table), "--check"]
    for first in ("horse.png,zebra.png", "x" * 300 + ".png,y"):
        table.write_text("\n".join([first, *rows]))
        assert "row 1: " in refused(capsys, *command)
    table.write_text("\n".join(["label,photo", *rows]))
    assert run([*command, "--preset", "tiny", "--size", "32"]) == 0
    capsys.readouterr()
    table.write_text("\n".join(row.replace(",", "|") for row in rows))
    assert "row 1 has 1 column, not 2, separated by commas" in refused(capsys, *command)


def resnet(**changes: torch.Tensor) -> Tensors:
    """A generator of one block as the reference saves it, with some tensors changed."""
    shapes = {
        "model.1": (4, 3, 7, 7),
        "model.4": (8, 4, 3, 3),
        "model.7": (16, 8, 3, 3),
        "model.10.conv_block.1": (16, 16, 3, 3),
        "model.10.conv_block.5": (16, 16, 3, 3),
        "model.11": (16, 8, 3, 3),
        "model.14": (8, 4, 3, 3),
        "model.18": (3, 4, 7, 7),
    }
    outputs = {"model.11": 8, "model.14": 4}  # transposed
    state = {f"{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    state |= {f"{n}.bias": torch.zeros(outputs.get(n, s[0])) for n, s in shapes.items()}
    return state | changes


FOREIGN: dict[str, Tensors] = {
    "one layer": {"model.1.weight": torch.zeros(4, 3, 7, 7)},
    "a number": {"model.1.weight": torch.tensor(1.0)},
    "a vector": {"model.1.weight": torch.zeros(7)},
    "vectors alone": {"a.0.weight": torch.zeros(4), "a.1.weight": torch.zeros(4)},
    "half a block": {n: t for n, t in resnet().items() if ".conv_block.5" not in n},
    "sparse": {n: t.to_sparse() for n, t in resnet().items()},
    "nowhere": {n: t.to("meta") for n, t in resnet().items()},
    "complex": {n: t.to(torch.complex64) for n, t in resnet().items()},
    "yes and no": {n: t > 0 for n, t in resnet().items()},
    "too many channels": resnet(**{"model.1.weight": torch.zeros(4, 100, 7, 7)}),
}


@pytest.mark.parametrize("state", FOREIGN.values(), ids=FOREIGN)
def test_foreign_weights_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: Tensors
) -> None:
    torch.save(state, tmp_path / "x.pth")
    line = refused(capsys, "import", str(tmp_path / "x.pth"), "-o", str(tmp_path / "x.safetensors"))
    assert ". Give " in line
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_an_import_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet(), tmp_path / "x.pth")
    command = ["import", str(tmp_path / "x.pth"), "-o"]
    assert "a folder" in refused(capsys, *command, str(tmp_path))
    made = tmp_path / "new" / "x.safetensors"
    assert "cannot be imported" in refused(capsys, *command, str(made), "--target", "\udcff")
    assert run([*command, str(made)]) == 0
    assert read_model_header(made).in_channels == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "a smaller data.crop_size, train."),
        (
            "DefaultCPUAllocator: can't allocate memory: you tried",
            "out of memory with these settings",
        ),
    ],
)
def test_too_little_memory_is_one_line(
    copied: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(fault)

    monkeypatch.setattr(Learner, "step", fail)
    assert said in refused_resume(copied)


def test_a_bug_keeps_its_traceback(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Learner, "step", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        resume(copied, settings={"train.steps": 4}, device="cpu")


@pytest.mark.slow
def test_ctrl_c_is_answered_once_whatever_the_readers(home: Path, tmp_path: Path) -> None:
    folders = [
        "--a",
        str(home / "horses"),
        "--b",
        str(home / "zebras"),
        "--out",
        str(tmp_path / "r"),
    ]
    options = ["--preset", "tiny", "--size", "32", "--workers", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "imgtranslate", "train", *folders, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as training:
        assert training.stderr is not None
        said = ""
        while "step=1/" not in said:
            said += training.stderr.readline()
        os.killpg(training.pid, signal.SIGINT)
        said += training.stderr.read()
    assert training.returncode == 130
    assert said.count("stopping after this step") == 1


def test_a_file_of_codes_may_have_no_end() -> None:
    with pytest.raises(ImgTranslateError, match="longer than"):
        read_codes(Path("/dev/zero"))


def test_the_demo_takes_a_seed_that_train_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed" in refused(capsys, "demo", "--seed", str(2**63))


def test_a_held_out_name_that_cannot_be_written_down(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "judged"
    place.mkdir()
    shutil.copy(next((home / "horses").iterdir()), place / os.fsdecode(b"caf\xe9.png"))
    sides = ["--a", str(home / "horses"), "--b", str(home / "zebras"), "--out", str(tmp_path / "r")]
    said = refused(capsys, "train", *sides, "--set", f"data.held_out_a={place}", "--device", "cpu")
    assert "is not UTF-8. Rename it" in said


def test_pictures_are_checked_again_beside_a_run(home: Path) -> None:
    sides = ["--a", str(home / "horses"), "--b", str(home / "zebras"), "--out", str(home / "run")]
    assert run(["train", *sides, "--device", "cpu", "--check"]) == 0
