"""`translate` among other programs: pipes, lists, patterns, shares, several models."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import translate
from fixtures.models import HEADER, model_header, save_model
from fixtures.pictures import digests, save_picture
from PIL import Image

from imgtranslate.errors import UsageError
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.translation.inputs import read_list
from imgtranslate.translation.outputs import Output
from imgtranslate.translation.plan import plan_translation
from imgtranslate.translation.translator import load


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "imgtranslate", "translate", *map(str, arguments)]


def targets(
    inputs: Sequence[str],
    output: str | None,
    *,
    header: ModelHeader = HEADER,
    listed: bytes | None = None,
) -> list[str]:
    jobs = plan_translation(
        inputs,
        models=[header],
        output=Output(text=output),
        listed=() if listed is None else read_list(io.BytesIO(listed), zero=True),
    )
    return [str(job.target) for job in jobs]


# Pipes


def test_a_picture_through_a_pipe(there: Path, model: Path) -> None:
    save_picture(there / "in.png", size=(31, 17))
    with (there / "in.png").open("rb") as stdin:
        done = subprocess.run(
            command("-", "--model", model, "--json"), stdin=stdin, capture_output=True, check=True
        )
    with Image.open("in.png") as image, Image.open(io.BytesIO(done.stdout)) as made:
        assert made.format == "PNG"
        assert made.tobytes() == load(model, device="cpu")(image).tobytes()
    line = next(line for line in done.stderr.decode().splitlines() if line.startswith("{"))
    told = json.loads(line)
    assert (told["input"], told["output"], told["size"]) == ("-", "-", [31, 17])


class Stream(io.TextIOWrapper):
    """A standard stream that is no terminal unless told."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def stream(content: bytes = b"") -> Stream:
    return Stream(io.BytesIO(content))


def test_stdin_into_a_folder_and_a_file_to_stdout(
    there: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_picture(there / "in.png")
    monkeypatch.setattr(sys, "stdin", stream(source.read_bytes()))
    assert translate("-", "--model", model, "-o", "out") == 0
    assert [path.name for path in (there / "out").iterdir()] == ["stdin.png"]

    monkeypatch.setattr(sys, "stdout", stream())
    assert translate("in.png", "--model", model, "-o", "-", "--format", "bmp") == 0
    with Image.open(sys.stdout.buffer) as image:
        assert image.format == "BMP"
        assert image.tobytes() == Image.open(there / "out/stdin.png").tobytes()


def test_what_pipes_cannot_carry_is_refused(
    there: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("in/a.png", "in/b.png"):
        save_picture(there / name)
    for arguments, said in [
        (("in", "-o", "-"), "-o -: one file for 2 pictures"),
        (("-", "in/a.png"), "-o -: one file for 2 pictures"),
        (("in/a.png", "-o", "-", "--model", model), "-o -: one file, 2 models"),
        ((), "INPUT: not given"),
        (("in/a.png", "-0"), "-0: works with --files-from only"),
        (("--files-from", "none.txt"), "--files-from none.txt: cannot be read: No such file"),
    ]:
        assert translate(*arguments, "--model", model) == 2
        assert said in capsys.readouterr().err

    monkeypatch.setattr(Stream, "terminal", True)
    monkeypatch.setattr(sys, "stdin", stream())
    monkeypatch.setattr(sys, "stdout", stream())
    assert translate("-", "--model", model) == 2
    assert "-: stdin is a terminal" in capsys.readouterr().err
    assert translate("in/a.png", "-o", "-", "--model", model) == 2
    assert "-o -: stdout is a terminal" in capsys.readouterr().err


def test_stdin_that_is_no_picture_fails(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for content in (b"", b"a shopping list"):
        monkeypatch.setattr(sys, "stdin", stream(content))
        assert translate("-", "--model", model) == 1
        out, err = capfdbinary.readouterr()
        assert out == b""
        assert b"failed: -: " in err
        assert b"failed: -: -" not in err


def test_a_closed_pipe_ends_quietly(there: Path, model: Path) -> None:
    for index in range(6):
        save_picture(there / f"in/{index}.png")
    with subprocess.Popen(
        command("in", "-o", "out", "--model", model), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read().decode()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "Broken" not in err


# Lists and globs


def test_a_list_of_names(
    there: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    names = [b"in/a.png", b"./in/sub/a.png", "in/日 本\n.png".encode(), b"in/\xff.png"]
    for name in names:
        save_picture(Path(os.fsdecode(name)))
    listed = b"".join(name + b"\0" for name in [*names, b"in/none.png"])
    monkeypatch.setattr(sys, "stdin", stream(listed))
    assert translate("--files-from", "-", "-0", "--model", model, "-o", "out") == 1
    assert sorted(digests(there / "out")) == sorted(
        os.fsdecode(name).removeprefix("./") for name in names
    )
    assert b"failed: in/none.png: cannot be read: No such file" in capfdbinary.readouterr().err

    (there / "list.txt").write_bytes(b"in/a.png\r\n\nin/sub/a.png\n")
    assert translate("--files-from", "list.txt", "--model", model, "-o", "two") == 0
    assert sorted(digests(there / "two")) == ["in/a.png", "in/sub/a.png"]


def test_a_list_does_not_lead_out_of_the_output_folder() -> None:
    listed = b"/etc/x.png\0../../y.png\0a/../../z.png\0..\0/\0"
    assert targets([], "out", listed=listed) == [
        "out/etc/x.png",
        "out/y.png",
        "out/a/z.png",
        "out/...png",
        "out/.png",
    ]


def test_a_glob_keeps_the_tree_below_its_first_wildcard(there: Path) -> None:
    for name in ("in/a/x.png", "in/b/x.png", "in/b/deep/x.png"):
        save_picture(there / name)
    assert targets(["in/*/*.png"], "out") == ["out/a/x.png", "out/b/x.png"]
    assert targets(["in/**/x.png"], "out") == [
        "out/a/x.png",
        "out/b/deep/x.png",
        "out/b/x.png",
    ]
    assert targets(["in/b*"], "out") == ["out/b/deep/x.png", "out/b/x.png"]


def test_outputs_are_not_read_again(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_picture(there / "a.png")
    save_picture(there / "in/a.png")
    for _ in range(2):
        assert translate("*", "--model", model, "-o", "out", "--overwrite") == 0
        assert translate("**/*.png", "--model", model, "-o", "out", "--overwrite") == 0
        assert sorted(digests(there / "out")) == ["a.png", "in/a.png"]
    for _ in range(2):
        assert translate("*.png", "--model", model, "--overwrite") == 0
    assert "left out 1 picture named like the output of another" in capsys.readouterr().err
    assert sorted(path.name for path in there.glob("*.png")) == ["a.png", "a.zebras.png"]


# Patterns


def test_a_pattern_names_each_output(there: Path) -> None:
    for name in ("in/sub/x.jpg", "in/y.psd"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).touch()
    inputs = ["in"]
    assert targets(inputs, "{dir}/{stem}.{domain}.{ext}") == [
        "in/sub/x.zebras.jpg",
        "in/y.zebras.png",
    ]
    assert targets(inputs, "out/{dir}/{domain}-{name}") == [
        "out/sub/zebras-x.jpg",
        "out/zebras-y.png",
    ]
    assert targets(["in/sub/x.jpg"], "out/{dir}/{stem}-{number}.png") == ["out/in/sub/x-1.png"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{stm}.png", "field stm: no such name. Did you mean stem?"),
        ("{stem.__class__}.png", "no such name"),
        ("{stem}.{ext", "an unmatched brace"),
        ("{stem.png", "an unmatched brace"),
        ("out/{stem}", "no suffix cannot be written"),
        ("out/{stem}.psd", ".psd cannot be written"),
        ("out/{stem}.png/{number}", "no suffix cannot be written"),
        ("out/{ext}.png", "both would be written to out/jpg.png"),
    ],
)
def test_a_pattern_that_cannot_be(there: Path, pattern: str, said: str) -> None:
    (there / "a.jpg").touch()
    (there / "b.jpg").touch()
    with pytest.raises(UsageError, match=r"`output`|both") as caught:
        targets(["a.jpg", "b.jpg"], pattern)
    assert said in str(caught.value)


def test_no_name_leads_out_of_the_output_folder(there: Path) -> None:
    (there / "in").mkdir()
    (there / "in/...jpg").touch()
    with pytest.raises(UsageError, match="would leave out"):
        targets(["in/...jpg"], "out/{stem}/{number}.png")
    save_picture(there / "in/sub/x.png")
    (there / "out").mkdir()
    (there / "away").mkdir()
    (there / "out/sub").symlink_to(there / "away")
    with pytest.raises(UsageError, match="a link leads out of the output folder"):
        targets(["in"], "out")
    with pytest.raises(UsageError, match="a link leads out of the output folder"):
        targets(["in"], "out/{dir}/{stem}.png")
    evil = checkpoint.parse_model_header(
        {**json.loads(checkpoint.header_json(HEADER)), "target": "../../evil"}, Path("m")
    )
    assert targets(["in/sub/x.png"], "here/{domain}/{name}", header=evil) == ["here/evil/x.png"]


def test_a_link_in_place_of_an_output_is_replaced_and_not_followed(
    there: Path, model: Path
) -> None:
    save_picture(there / "in/a.png")
    kept = save_picture(there / "kept.png", seed=5)
    before = kept.read_bytes()
    (there / "out").mkdir()
    (there / "out/a.png").symlink_to(kept)
    assert translate("in", "-o", "out", "--model", model, "--overwrite") == 0
    assert kept.read_bytes() == before
    assert not (there / "out/a.png").is_symlink()


# Several models, some of the inputs


def test_several_models_each_give_a_picture(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = save_model(there / "night.safetensors", model_header(target="night"))
    for name in ("in/a.png", "in/sub/b.png"):
        save_picture(there / name)
    models = ("--model", model, "--model", night)
    assert translate("in", *models, "-o", "out", "--json") == 0
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["output"], line["model"]) for line in written] == [
        ("out/a.zebras.png", str(model)),
        ("out/a.night.png", str(night)),
        ("out/sub/b.zebras.png", str(model)),
        ("out/sub/b.night.png", str(night)),
    ]
    assert translate("in/a.png", *models) == 0
    assert sorted(digests(there / "in")) == [
        "a.night.png",
        "a.png",
        "a.zebras.png",
        "sub/b.png",
    ]
    assert translate("in", "--model", model, "--model", model, "-o", "two") == 2
    assert "--model: two models would write two/a.night.zebras.png" in capsys.readouterr().err
    assert not (there / "two").exists()


def test_a_name_that_is_too_long_does_not_stop_a_continued_run(there: Path, model: Path) -> None:
    long = save_picture(there / f"{'x' * 250}.png")
    save_picture(there / "in.png")
    assert translate(long.name, "in.png", "--model", model, "--skip-existing") == 1
    assert (there / "in.zebras.png").exists()


def test_a_list_of_find_print0_asks_for_its_option(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (there / "list").write_bytes(b"a/in.png\0b/in.png\0")
    assert translate("--files-from", "list", "--model", model, "-o", "out") == 2
    assert capsys.readouterr().err == (
        "error: --files-from: null bytes between the paths. Add -0, or write one path per line\n"
    )


def test_stdin_is_a_list_or_a_picture(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert translate("-", "--files-from", "-", "--model", model, "-o", "out") == 2
    assert capsys.readouterr().err.startswith("error: -: stdin is already read by --files-from")


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_daemon_may_start_it_without_streams(there: Path, model: Path, stream: int) -> None:
    save_picture(there / "in.png")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}>&-', "sh", *command("in.png", "--model", model)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert (there / "in.zebras.png").exists()
    assert "Traceback" not in done.stderr


def test_damage_is_one_line_whatever_libraries_say_of_it(there: Path, model: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(there / "in.tif", compression="tiff_lzw")
    content = bytearray((there / "in.tif").read_bytes())
    with Image.open(there / "in.tif") as image:
        (place,) = image.tag_v2[273]  # type: ignore[attr-defined]
    content[place : place + 2000] = b"\xff" * 2000
    (there / "in.tif").write_bytes(content)
    done = subprocess.run(
        command("in.tif", "--model", model, "-o", "out.tif", "--device", "cpu"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    headline, failed, count = done.stderr.splitlines()
    assert failed.startswith("failed: in.tif: damaged: ")
    assert (headline, count) == (
        "horses → zebras on cpu with ONNX Runtime",
        "translated 0 of 1 picture, 0 skipped, 1 failed",
    )


def test_a_signal_may_come_in_the_middle_of_a_line() -> None:
    script = (
        "import sys; from imgtranslate.cli.stopping import stop_on_signals\n"
        "with stop_on_signals('stopping') as stopped:\n"
        "    sys.stderr.write('x' * 10**6); sys.stderr.flush()\n"
        "sys.exit(stopped.exit_code)"
    )
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, env=buffered)
    assert process.stderr is not None
    assert process.stderr.read(1) == b"x"  # the rest does not fit into the pipe
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.endswith(b"xstopping. Press Ctrl-C again to stop at once\n")


def test_nothing_comes_out_of_a_closed_stdin(model: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command("-", "--model", model)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "failed: -: the file is empty" in done.stderr


def test_a_limit_is_said(there: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(4):
        save_picture(there / f"in/{index}.png")
    assert translate("in", "--model", model, "-o", "out", "--limit", "3") == 0
    assert sorted(digests(there / "out")) == ["0.png", "1.png", "2.png"]
    assert "--limit 3: the first 3 of 4 pictures" in capsys.readouterr().err
    assert translate("in", "--model", model, "-o", "other", "--limit", "9") == 0
    assert "--limit" not in capsys.readouterr().err


def test_errors_are_ignored_when_asked(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_picture(there / "in/a.png")
    (there / "in/b.png").touch()
    assert translate("in", "--model", model, "-o", "out", "--ignore-errors") == 0
    assert "failed: in/b.png: the file is empty" in capsys.readouterr().err


def test_large_pictures_are_told_of_once_and_resized_when_asked(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(2):
        save_picture(there / f"in/{index}.png", size=(300, 193))
    save_picture(there / "exact.png", size=(300, 192))
    assert translate("exact.png", "in", "--model", model, "-o", "out") == 0
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "--resize" in line]
    assert told.startswith("in/0.png: its shorter side is more than 3 times the 64 px")
    assert translate("in", "--model", model, "-o", "small", "--resize", "64") == 0
    assert "--resize" not in capsys.readouterr().err
    with Image.open("out/0.png") as whole, Image.open("small/0.png") as small:
        assert (whole.size, small.size) == ((300, 193), (99, 64))


def test_the_first_frame_is_taken_where_an_output_holds_one(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.open(save_picture(there / f"{index}.png", seed=index)) for index in range(3)]
    frames[0].save(there / "in.gif", save_all=True, append_images=frames[1:])
    assert translate("in.gif", "--model", model) == 0
    with Image.open("in.zebras.gif") as image:
        assert image.n_frames == 3
    assert translate("in.gif", "--model", model, "-o", "one.jpg", "--json") == 0
    out, err = capsys.readouterr()
    reason = json.loads(out.splitlines()[-1])["reason"]
    assert reason == "only the first of several frames, because .jpg holds one"
    assert f"in.gif: {reason}" in err


def test_a_jpeg_without_its_end_is_written_with_a_notice(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = save_picture(there / "whole.jpg").read_bytes()
    Path("in.jpg").write_bytes(content.removesuffix(b"\xff\xd9"))
    assert translate("in.jpg", "--model", model, "-o", "out.png") == 0
    assert "in.jpg: its end marker is missing, but no pixels" in capsys.readouterr().err


def test_shards_share_a_tree_and_their_lines_make_the_whole(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(24):
        save_picture(there / f"in/{index % 4}/{index}.png", seed=index)
    assert translate("in", "--model", model, "-o", "whole", "--json") == 0
    whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines: list[dict[str, object]] = []
    for number in (1, 2, 3):
        if number == 2:
            monkeypatch.setenv("RANK", "1")
            monkeypatch.setenv("WORLD_SIZE", "3")
            monkeypatch.setenv("LOCAL_RANK", "0")
            assert translate("in", "--model", model, "-o", "parts", "--json") == 0
        else:
            share = f"{number}/3"
            assert translate("in", "--model", model, "-o", "parts", "--json", "--shard", share) == 0
        out, err = capsys.readouterr()
        assert f"shard {number}/3: " in err
        lines += map(json.loads, out.splitlines())
    assert digests(there / "parts") == digests(there / "whole")
    assert sorted(str(line["input"]) for line in lines) == sorted(line["input"] for line in whole)
