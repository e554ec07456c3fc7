"""The check of a model without a way back: hand-made generators, and the command."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.cycle_check.generator_pairs import (
    Array,
    Formula,
    Map,
    blurred,
    constant,
    embroidered,
    grey,
    hue,
    lut,
    negative,
    noisy,
    on_bytes,
    permuted,
    same,
    side,
)
from fixtures.command import run
from fixtures.models import HEADER
from fixtures.runs import make_run
from PIL import Image

from imgtranslate.demo.scenes import draw_scene, render_painting, render_stitches
from imgtranslate.evaluation.cycle_check.check import check_sources
from imgtranslate.evaluation.cycle_check.results import results_of
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.cycle_check.scores import CycleSource
from imgtranslate.evaluation.cycle_check.verdicts import Verdict
from imgtranslate.translation.translator import Translator

SCENES = [draw_scene(1, "held_out", index) for index in range(5)]


def looked_up(answers: Sequence[Array]) -> Map:
    """Answer a painting of SCENES, or a stranger, with the picture at its place."""
    known = [render_painting(scene) for scene in SCENES]

    def answer(x: Array) -> Array:
        errors = [np.abs(x.astype(float) - each).mean() for each in known]
        return answers[int(np.argmin(errors))]

    return answer


STITCHES = [render_stitches(scene) for scene in SCENES]
GENERATORS: dict[str, dict[str, Map]] = {
    "healthy": {
        "the true relation": looked_up(STITCHES),
        "embroidered": embroidered,
        "swapped": permuted(2, 1, 0),
        "hue": hue(90)[0],
        "less contrast": lut(lambda v: v * 0.3 + 80),
        "noisy": lambda x: noisy(12)(permuted(2, 1, 0)(x)),
        "blurred": lambda x: blurred(2)(permuted(2, 1, 0)(x)),
        "one half inverted": lambda x: np.where(np.arange(64)[:, None] < 32, x, 255 - x),
    },
    "loses content": {
        "another scene": looked_up(STITCHES[1:] + STITCHES[:1]),
        "mirrored, which moves things": lambda x: np.ascontiguousarray(x[::-1]),
    },
    "collapsed": {
        "constant": constant(10, 200, 30),
        "constant and noise": lambda x: noisy(20)(constant(90, 120, 30)(x)),
        "one scene": lambda _: STITCHES[0],
    },
    "does nothing": {"identity": same, "slight noise": noisy(4)},
    "inverts brightness": {"negative": negative, "of the grey": lambda x: negative(grey(x))},
}


def checked(
    pictures: Sequence[Path],
    generator: Map,
    *,
    channels: tuple[int, int] = (3, 3),
    fail_on: Sequence[Verdict] = (),
) -> CycleCheckFile:
    header = replace(HEADER, in_channels=channels[0], out_channels=channels[1])
    ab = Translator(Formula(header, on_bytes(generator)))
    sources = [CycleSource(path=p, relative=Path(p.name), domain=side("a")) for p in pictures]
    return results_of(list(check_sources(sources, ab=ab, ba=None)), fail_on=fail_on)


def saved(folder: Path, pictures: Sequence[Array]) -> list[Path]:
    paths = [folder / f"{n}.png" for n in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return saved(tmp_path_factory.mktemp("scenes"), [render_painting(scene) for scene in SCENES])


@pytest.mark.parametrize(
    ("wanted", "generator"),
    [
        pytest.param(wanted, generator, id=f"{wanted}: {name}")
        for wanted, generators in GENERATORS.items()
        for name, generator in generators.items()
    ],
)
def test_each_generator_is_called_what_it_is(
    wanted: str, generator: Map, scenes: list[Path]
) -> None:
    judgement = checked(scenes, generator).summary.directions["ab"]
    assert judgement.verdict == wanted, judgement.reason
    assert judgement.reason


@pytest.mark.parametrize("wanted", ["healthy", "collapsed", "does nothing", "inverts brightness"])
def test_a_single_picture_is_enough(wanted: str, scenes: list[Path]) -> None:
    generator = next(iter(GENERATORS[wanted].values()))
    assert checked(scenes[:1], generator).verdict == wanted


def test_noise_keeps_nothing_of_a_single_picture(scenes: list[Path]) -> None:
    assert "loses content" in checked(scenes[:1], noisy(400)).summary.directions["ab"].verdicts


def test_the_figures_are_compared_with_those_of_other_pictures(scenes: list[Path]) -> None:
    lost = checked(scenes, looked_up(STITCHES[1:] + STITCHES[:1])).summary.directions["ab"]
    assert lost.content is not None
    assert lost.other_content is not None
    assert lost.content.mean == pytest.approx(lost.other_content, abs=0.1)
    assert checked(scenes[:1], same).summary.directions["ab"].other_content is None


def test_pictures_that_are_alike_lose_nothing(tmp_path: Path) -> None:
    """Frames of one scene agree with each other as well as with their own translations."""
    frames = saved(tmp_path, [render_painting(SCENES[0]) // 2 + 20 * n for n in range(3)])
    found = checked(frames, lambda x: noisy(8)(permuted(2, 1, 0)(x)))
    figures = found.summary.directions["ab"]
    assert figures.content is not None
    assert 0.6 < figures.content.mean < 0.95
    assert figures.other_content == pytest.approx(figures.content.mean, abs=0.05)
    assert found.verdict == "healthy"


def test_flat_pictures_have_no_content_to_lose(tmp_path: Path) -> None:
    flats = saved(tmp_path, [np.full((30, 30, 3), 60 * n, np.uint8) for n in range(1, 4)])
    found = checked(flats, lut(lambda v: v * 0.5 + 100))
    assert found.verdict == "healthy"
    assert found.images[0].content is None


def test_channels_may_differ(scenes: list[Path]) -> None:
    found = checked(scenes, lambda x: grey(255 - x)[..., :1], channels=(3, 1))
    assert found.verdict == "inverts brightness"
    assert found.summary.change is None


def test_only_what_was_measured_is_written(scenes: list[Path]) -> None:
    tree = checked(scenes, embroidered, fail_on=("healthy",)).to_json()
    wanted = {"path", "direction", "change", "brightness", "content", "error"}
    assert set(tree["images"][0]) == wanted
    assert set(tree["summary"]["worst"][0]) == {"path", "content"}
    assert "mae" not in tree["summary"]["directions"]["ab"]
    assert tree["summary"]["shortfalls"] == ("ab: healthy",)
    worst = [one["content"] for one in tree["summary"]["worst"]]
    assert worst == sorted(worst)
    assert CycleCheckFile.read(json.dumps(tree)).verdict == "healthy"


# The command


@pytest.fixture
def one_way(tmp_path: Path) -> Path:
    trained = make_run(tmp_path)
    (trained / "ba.safetensors").unlink()
    return trained


def test_a_run_without_a_way_back_says_so_and_is_checked(
    one_way: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cycle-check", "--run", one_way, "-o", one_way / "strips", "--json") == 0
    captured = capsys.readouterr()
    assert f"{one_way}: has no way back, so the kept content is checked" in captured.err
    found = json.loads(captured.out)
    assert [row["direction"] for row in found["images"]] == ["ab", "ab"]
    assert found["steps"] == {"ab": 1}
    assert json.loads((one_way / "cycle-check.json").read_text()) == found
    strip = next((one_way / "strips/a").iterdir())
    with Image.open(strip) as image:
        assert image.width < 3 * 256  # Real | Fake


def test_a_single_model_is_checked_on_named_pictures(
    one_way: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = one_way.parent / "held_a"
    assert run("cycle-check", pictures, "--ab", one_way / "ab.safetensors") == 0
    captured = capsys.readouterr()
    assert "no way back" in captured.err
    lines = captured.out.splitlines()
    assert lines[0].split() == ["content", "change", "bright"]
    assert "horses → zebras, 2 pictures:" in lines
    assert max(map(len, lines)) <= 80
    assert "back" not in captured.out


def test_the_direction_is_that_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_run(tmp_path) / "ba.safetensors"
    pictures = tmp_path / "held_b"
    assert run("cycle-check", pictures, "--ab", model, "--json", "--from", "b") == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["direction"] == "ba"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "b"], "--from b: the only model translates horses to zebras"),
        (["--fail-above", "0.1"], "Use --fail-on loses-content"),
        (["--fail-on", "recovers-nothing"], "--fail-on recovers-nothing: "),
        (["--fail-on", "hides-information"], "Use collapsed, inverts-brightness, loses-content"),
    ],
)
def test_what_needs_a_way_back_is_refused_in_one_line(
    one_way: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run("cycle-check", "--run", one_way, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err


def test_a_gate_on_a_fault(one_way: Path) -> None:
    assert run("cycle-check", "--run", one_way, "--fail-on", "does-nothing") == 0
    verdict = json.loads((one_way / "cycle-check.json").read_text())["verdict"]
    assert run("cycle-check", "--run", one_way, "--fail-on", verdict) == 1


def test_lost_content_is_no_verdict_on_a_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cycle-check", "--run", make_run(tmp_path), "--fail-on", "loses-content") == 2
    assert "Use recovers-nothing" in capsys.readouterr().err
