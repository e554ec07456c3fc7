import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fixtures.command import translate
from fixtures.models import HEADER, Identity, model_header, save_model
from fixtures.pictures import digests, save_picture
from PIL import Image

from imgtranslate.cli.terminal import printable
from imgtranslate.errors import UsageError
from imgtranslate.translation.codes import Model
from imgtranslate.translation.outputs import Output, safe_name
from imgtranslate.translation.plan import Existing, plan_translation
from imgtranslate.translation.translate import run_jobs, translate_folder
from imgtranslate.translation.translator import Translator, load


def plan(
    inputs: Sequence[str],
    output: str | None = None,
    *,
    file_format: str | None = None,
    existing: Existing = "refuse",
) -> dict[str, str]:
    """The plan as {input: output}, with plain slashes."""
    jobs = plan_translation(
        inputs,
        models=[HEADER],
        output=Output(text=output, file_format=file_format),
        existing=existing,
    )
    return {Path(job.source).as_posix(): Path(job.target).as_posix() for job in jobs}


# Where results go


def test_without_an_output_a_file_goes_beside_its_input(there: Path):
    for name in ("in.jpg", "sub/IN.PNG", "raw.psd", "photo", "a.b.webp"):
        (there / "sub").mkdir(exist_ok=True)
        (there / name).touch()
    assert plan(["in.jpg", "sub/IN.PNG", "raw.psd", "photo", "a.b.webp"]) == {
        "in.jpg": "in.zebras.jpg",
        "sub/IN.PNG": "sub/IN.zebras.PNG",
        "raw.psd": "raw.zebras.png",
        "photo": "photo.zebras.png",
        "a.b.webp": "a.b.zebras.webp",
    }


def test_an_output_with_an_image_suffix_is_a_file_any_other_a_folder(there: Path):
    (there / "in.jpg").touch()
    (there / "album.png").mkdir()
    assert plan(["in.jpg"], "out.png") == {"in.jpg": "out.png"}
    assert plan(["in.jpg"], "out") == {"in.jpg": "out/in.jpg"}
    assert plan(["in.jpg"], "v1.2") == {"in.jpg": "v1.2/in.jpg"}
    assert plan(["in.jpg"], "album.png") == {"in.jpg": "album.png/in.jpg"}


def test_a_tree_is_mirrored_and_formats_are_changed_when_asked(there: Path):
    for name in ("in/a.jpg", "in/sub/b.PNG", "in/sub/deep/c.tif", "in/.hidden.png", "in/x.txt"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).touch()
    assert list(plan(["in"], "out").values()) == [
        "out/a.jpg",
        "out/sub/b.PNG",
        "out/sub/deep/c.tif",
    ]
    assert list(plan(["in"], "out", file_format="PNG").values()) == [
        "out/a.png",
        "out/sub/b.png",
        "out/sub/deep/c.png",
    ]


def test_patterns_are_expanded_like_a_shell_would(there: Path):
    for name in ("b.jpg", "a.jpg", "c.png", "sub/d.jpg", "odd[1].jpg"):
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).touch()
    assert list(plan(["*.jpg"], "out")) == ["a.jpg", "b.jpg", "odd[1].jpg"]
    assert list(plan(["odd[1].jpg"], "out")) == ["odd[1].jpg"]
    assert "sub/d.jpg" in plan(["**/*.jpg"], "out")
    assert list(plan(["sub/**"], "out")) == ["sub/d.jpg"]


def test_an_output_folder_inside_the_input_is_not_read_again(there: Path):
    save_picture(there / "in/a.png")
    save_picture(there / "in/out/a.png")
    assert plan(["in"], "in/out", existing="overwrite") == {"in/a.png": "in/out/a.png"}


def test_the_same_input_twice_is_one_job(there: Path):
    save_picture(there / "in/a.png")
    assert plan(["in", "./in/a.png", str(there / "in/a.png")], "out") == {"in/a.png": "out/a.png"}


@pytest.mark.parametrize(
    ("domain", "safe"),
    [
        ("zebras", "zebras"),
        ("Grévy's zebra", "Grévy-s-zebra"),
        ("シマウマ", "シマウマ"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\\b\x00\x1b[2Jc\n", "a-b-2Jc"),
        ("...", "translated"),
        ("", "translated"),
        ("x" * 500, "x" * 60),
    ],
)
def test_a_hostile_domain_is_made_a_safe_name(domain: str, safe: str):
    assert safe_name(domain) == safe


# Wrong use, found before anything starts


def refused(inputs: Sequence[str], output: str | None = None, **options: str) -> str:
    with pytest.raises(UsageError) as caught:
        plan(inputs, output, **options)
    assert "\n" not in str(caught.value)
    assert ". " in str(caught.value)
    return str(caught.value)


def test_inputs_that_are_not_there(there: Path):
    (there / "empty").mkdir()
    assert refused(["no.jpg"]).startswith("no.jpg: no such file")
    assert refused(["*.jpg"]).startswith("*.jpg: no file matches")
    assert refused(["empty"], "out").startswith("empty: no pictures")


def test_a_folder_needs_an_output_folder(there: Path):
    save_picture(there / "in/a.png")
    assert "Add `output` DIR" in refused(["in"])
    assert "`output` out.png: one file for" in refused(["in"], "out.png")
    assert "`output` out.png: one file for 2" in refused(["in/a.png", "in"], "out.png")


def test_two_inputs_for_one_output(there: Path):
    for name in ("a/x.jpg", "b/x.jpg", "x.jpg", "x.png"):
        save_picture(there / name)
    assert "a/x.jpg and b/x.jpg: both" in refused(["a", "b"], "out")
    assert "x.jpg and x.png: both" in refused(["x.jpg", "x.png"], "out", file_format="png")
    (there / "x.heic").touch()  # becomes a PNG too
    assert "x.heic and x.png: both" in refused(["x.heic", "x.png"], "out")
    assert "x.heic and x.png: both" in refused(["x.heic", "x.png"])
    assert len(plan(["x.jpg", "x.png"], "out")) == 2
    assert not (there / "out").exists()


@pytest.mark.parametrize("names", [("A.png", "a.png"), ("\u00e9.png", "e\u0301.png")])
def test_outputs_that_some_file_systems_take_for_one_are_refused(
    there: Path, names: tuple[str, str]
):
    for name in names:
        save_picture(there / "in" / name)
        save_picture(there / "trees" / Path(name).stem / "0.png")
    if len([*(there / "in").iterdir()]) == 1:
        pytest.skip("this file system takes them for one")
    first, second = names
    both = f"in/{first} and in/{second}: their outputs out/{first} and out/{second} are one file"
    assert both in refused([f"in/{first}", f"in/{second}"], "out")
    assert "are one file on systems that ignore case or Unicode forms" in refused(["in"], "out")
    assert "are one file on systems" in refused(["trees"], "out")
    assert "are one file on systems" in refused([f"in/{name}" for name in names])
    assert len(plan([f"in/{names[0]}"], "out")) == 1


def test_links_between_output_folders_do_not_join_two_outputs(there: Path):
    for folder in "xy":
        save_picture(there / f"in/{folder}/0.png")
    (there / "out/x").mkdir(parents=True)
    (there / "out/y").symlink_to(there / "out/x")
    assert "in/x/0.png and in/y/0.png: both" in refused(["in"], "out")


def test_an_existing_output_is_found_in_another_unicode_form(there: Path):
    save_picture(there / "in/e\u0301.png")
    made = save_picture(there / "out/\u00e9.png")
    assert "already exists" in refused(["in"], "out")
    for existing in ("skip", "overwrite"):
        assert list(plan(["in"], "out", existing=existing).values()) == ["out/\u00e9.png"]
    assert made.is_file()


def test_what_exists_needs_a_word(there: Path):
    save_picture(there / "in/a.png")
    save_picture(there / "in/b.png")
    save_picture(there / "out/a.png")
    assert refused(["in"], "out").startswith(
        "out/a.png: already exists. Use `existing` overwrite or `existing` skip"
    )
    save_picture(there / "out/b.png")
    assert "(and 1 more)" in refused(["in"], "out")
    assert len(plan(["in"], "out", existing="skip")) == 2


def test_an_input_is_never_overwritten_unless_named(there: Path):
    save_picture(there / "in/a.png")
    (there / "link.png").symlink_to(there / "in/a.png")
    save_picture(there / "b.png")
    save_picture(there / "b.zebras.png")
    for existing in ("overwrite", "skip"):
        assert ": is an input" in refused(["in"], "in", existing=existing)
        assert ": is an input" in refused(["link.png"], "in/a.png", existing="skip")
        assert ": is an input" in refused(["b.png", "b.zebras.png"], existing=existing)
    assert ": is an input" in refused(["in/a.png"], "in/a.png")
    assert plan(["in/a.png"], "in/a.png", existing="overwrite") == {"in/a.png": "in/a.png"}


def test_formats_that_cannot_be(there: Path):
    save_picture(there / "a.png")
    assert "Did you mean jpg?" in refused(["a.png"], file_format="jpgg")
    assert ".psd cannot be written" in refused(["a.png"], "out.psd")
    assert "contradicts `file_format` jpg" in refused(["a.png"], "out.png", file_format="jpg")
    assert plan(["a.png"], "out.jpeg", file_format="jpg") == {"a.png": "out.jpeg"}


def test_an_output_folder_that_cannot_be(there: Path):
    save_picture(there / "a.png")
    (there / "file").touch()
    assert refused(["a.png"], "file/sub").startswith("file: a file, not a folder")
    (there / "b.zebras.png").mkdir()
    save_picture(there / "b.png")
    assert "is a folder, not a file" in refused(["b.png"], existing="overwrite")


def test_wrong_options_exit_2_before_the_model_is_loaded(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    save_picture(there / "a.png")
    for arguments, said in [
        (["a.png"], "--model: not given"),
        (["a.png", "--model", "no.safetensors"], "no.safetensors: no such file"),
        (["no.png", "--model", model], "no.png: no such file"),
        (["a.png", "--model", "a.png"], "a.png: not a safetensors file"),
        (["a.png", "--model", model, "--overwrite", "--skip-existing"], "Give one of them"),
        (["a.png", "--model", model, "--device", "cpuu"], "Did you mean cpu?"),
        (["a.png", "--model", there], "no ab.safetensors in this folder"),
    ]:
        assert translate(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in there.iterdir()) == ["a.png"]


# The work


def test_one_picture(there: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    save_picture(there / "in.png", size=(31, 17))
    assert translate("in.png", "--model", model, "--device", "cpu") == 0
    out, err = capsys.readouterr()
    assert out == "in.zebras.png\n"
    assert err.splitlines() == [
        "horses → zebras on cpu with ONNX Runtime",
        "translated 1 of 1 picture, 0 skipped, 0 failed",
    ]
    with Image.open("in.png") as image, Image.open("in.zebras.png") as written:
        assert written.size == (31, 17)
        assert written.tobytes() == load(model, device="cpu")(image).tobytes()


def broken_tree(folder: Path) -> None:
    for index in range(47):
        save_picture(folder / f"{index % 3}" / f"{index:02}.png", seed=index)
    noise = save_picture(folder / "1" / "truncated.jpg", size=(64, 64))
    noise.write_bytes(noise.read_bytes()[:900])
    (folder / "text.png").write_text("a shopping list")
    (folder / "2" / "zero.PNG").touch()


def test_three_broken_of_fifty(there: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    broken_tree(there / "in")
    assert translate("in", "--model", model, "-o", "out") == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines[-1] == "translated 47 of 50 pictures, 0 skipped, 3 failed"
    failures = [line for line in lines if line.startswith("failed: ")]
    assert [line.split(":")[1].strip() for line in failures] == [
        "in/1/truncated.jpg",
        "in/2/zero.PNG",
        "in/text.png",
    ]
    written = digests(there / "out")
    assert sorted(f"out/{name}" for name in written) == sorted(out.splitlines())
    assert len(written) == 47

    assert translate("in", "--model", model, "-o", "out", "--skip-existing") == 1
    assert "translated 0 of 50 pictures, 47 skipped, 3 failed" in capsys.readouterr().err
    assert digests(there / "out") == written


def test_the_bytes_are_equal_alone_in_a_folder_and_twice(there: Path, model: Path):
    for index in range(3):
        save_picture(there / f"in/{index}.jpg", size=(20 + index, 30), seed=index)
    assert translate("in", "--model", model, "-o", "first") == 0
    assert translate("in", "--model", model, "-o", "second") == 0
    for index in (2, 0, 1):
        assert translate(f"in/{index}.jpg", "--model", model, "-o", "alone") == 0
    assert digests(there / "first") == digests(there / "second") == digests(there / "alone")


def test_a_line_of_json_for_each(there: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    save_picture(there / "in/a.png", size=(12, 10))
    (there / "in/b.png").touch()
    save_picture(there / "in/c.png")
    save_picture(there / "out/c.png")
    assert translate("in", "--model", model, "-o", "out", "--json", "--skip-existing") == 1
    written, failed, skipped = map(json.loads, capsys.readouterr().out.splitlines())
    assert written.pop("seconds") > 0
    assert written == {
        "input": "in/a.png",
        "output": "out/a.png",
        "status": "written",
        "reason": "",
        "size": [12, 10],
        "sample": None,
        "seed": None,
    }
    assert failed["status"] == "failed"
    assert failed["reason"] == "the file is empty. Replace or remove it"
    assert (skipped["status"], skipped["reason"]) == ("skipped", "exists")


def test_overwriting_replaces(there: Path, model: Path):
    save_picture(there / "a.png")
    assert translate("a.png", "--model", model, "-o", "a.png") == 2
    before = digests(there)
    assert translate("a.png", "--model", model, "-o", "a.png", "--overwrite") == 0
    assert digests(there).keys() == before.keys()
    assert digests(there) != before


def test_names_do_not_steer_the_terminal(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    name = "\x1b[31mred\n\u202egpj.png"
    (there / "in").mkdir()
    (there / "in" / name).touch()
    assert translate("in", "--model", model, "-o", "out", "--json") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert r"\x1b[31mred\n\u202egpj.png" in err
    assert printable("é 日本 \udcff") == r"é 日本 \udcff"


def test_odd_names_pass_through_pipes_byte_by_byte(
    there: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]
):
    name = os.fsdecode(b"in/\xff \xe6\x97\xa5.png")
    save_picture(there / name)
    assert translate("in", "--model", model, "-o", "out") == 0
    assert capfdbinary.readouterr().out == b"out/\xff \xe6\x97\xa5.png\n"
    assert (there / "out" / Path(name).name).is_file()


def test_a_hostile_domain_stays_in_the_folder(there: Path):
    hostile = save_model(
        there / "m.safetensors", model_header(target="../../\x1b[2Jevil/" + "x" * 300)
    )
    save_picture(there / "sub/in.png")
    assert translate("sub/in.png", "--model", hostile) == 0
    (written,) = set((there / "sub").iterdir()) - {there / "sub/in.png"}
    assert written.name.startswith("in.2Jevil-xxx")


def test_a_name_too_long_for_the_disk_fails_alone(
    there: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    save_picture(there / f"{'n' * 248}.png")
    save_picture(there / "a.png")
    assert translate(f"{'n' * 248}.png", "a.png", "--model", model) == 1
    assert "name is too long" in capsys.readouterr().err
    assert (there / "a.zebras.png").is_file()


SIGNALLED = """
import signal, sys
from imgtranslate import cli
from imgtranslate.translation import translate

translate_work, count = translate.translate_work, 0

def signalled(*arguments, **options):
    global count
    count += 1
    if count == 2:
        signal.raise_signal({number:d})
    return translate_work(*arguments, **options)

translate.translate_work = signalled
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_finishes_what_was_begun_and_says_how_far_it_came(
    there: Path, model: Path, number: int
):
    for index in range(9):
        save_picture(there / f"in/{index}.png", seed=index)
    # in a process of its own: where OpenVINO ran before, a signal can crash the interpreter
    script = SIGNALLED.format(number=number)
    command = [sys.executable, "-c", script, "translate", "in", "--model", str(model), "-o", "out"]
    stopped = subprocess.run(command, capture_output=True, text=True, cwd=there)
    assert stopped.returncode == 128 + number
    assert list(digests(there / "out")) == ["0.png", "1.png"]
    assert stopped.stdout == "out/0.png\nout/1.png\n"
    assert "stopping after this picture" in stopped.stderr
    assert "stopped: translated 2 of 9" in stopped.stderr

    assert translate("in", "--model", model, "-o", "out", "--skip-existing") == 0
    assert len(digests(there / "out")) == 9


def test_an_interruption_at_once_leaves_no_half_written_file(
    there: Path, model: Path, monkeypatch: pytest.MonkeyPatch
):
    for index in range(3):
        save_picture(there / f"in/{index}.png", seed=index)
    save = Image.Image.save

    def interrupted(image: Image.Image, *arguments: Any, **options: Any) -> None:
        save(image, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert translate("in", "--model", model, "-o", "out") == 130
    assert digests(there / "out") == {}


def test_a_python_user_gets_what_the_command_writes(there: Path, model: Path):
    broken_tree(there / "in")
    translate("in", "--model", model, "-o", "command")
    outcomes = list(translate_folder("in", "python", model=model, device="cpu"))
    assert digests(there / "python") == digests(there / "command")
    assert sum(outcome.status == "failed" for outcome in outcomes) == 3


def test_a_python_user_may_allow_huge_pictures(
    there: Path, model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save_picture(there / "in/a.png", size=(12, 10))
    (refused,) = translate_folder("in", "out", model=model, device="cpu")
    assert refused.reason.endswith("or allow it with `allow_huge`")
    (outcome,) = translate_folder("in", "out", model=model, device="cpu", allow_huge=True)
    assert outcome.status == "written"


def test_wrong_use_of_translate_folder_raises_at_once(model: Path):
    with pytest.raises(UsageError):
        translate_folder("none", "out", model=model)


def test_an_identity_gives_back_a_tree_exactly(there: Path):
    for suffix in ("png", "webp", "bmp", "tif", "tga"):
        save_picture(there / f"in/a.{suffix}", size=(13, 7))
    translator = Translator(Identity())
    jobs = plan_translation(["in"], models=[translator.header], output=Output(text="out"))
    for outcome in run_jobs(jobs, models=[Model(translator=translator)]):
        with Image.open(outcome.input) as before, Image.open(outcome.output) as after:
            assert after.format == before.format
            assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()
