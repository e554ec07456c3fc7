"""Verdicts on models of pairs: hand-made translators with known faults."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from imgtranslate.evaluation.report.pair_verdict import (
    LEAST_PAIRS,
    PairScore,
    faults_of,
    judge_pairs,
    score_pair,
    share_of_matches,
)
from imgtranslate.images import Pixels

COUNT, SIDE = 8, 96
GAIN = [(100, 0.5), (200, 0.4)]
Translate = Callable[[int], Sequence[Pixels]]  # the samples of the n-th input


def blocks(seed: int) -> Pixels:
    """Draw a picture of large flat blocks, as of labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (12, 12, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def noisy(pixels: Pixels, level: float, seed: int = 0) -> Pixels:
    noise: NDArray[np.float64] = np.random.default_rng(seed).normal(0, level, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


INPUTS = [blocks(n) for n in range(COUNT)]
TRUTHS = [255 - np.roll(pixels, 1, axis=2) for pixels in INPUTS]


def scores_of(translate: Translate, *, count: int = COUNT) -> list[PairScore]:
    scores = [score_pair(INPUTS[n], translate(n), TRUTHS[n]) for n in range(count)]
    return [score for score in scores if score is not None]


def faults(translate: Translate, *, count: int = COUNT, coded: bool = False) -> list[str]:
    scores = scores_of(translate, count=count)
    assert all((score.diversity is not None) is coded for score in scores)
    return faults_of(judge_pairs(scores, GAIN, warned_at=None))


def honest(n: int) -> list[Pixels]:
    return [noisy(TRUTHS[n], 40, n)]


def grey(_: int) -> list[Pixels]:
    return [np.full((SIDE, SIDE, 3), 128, np.uint8)]


def test_an_honest_model_has_no_fault() -> None:
    assert faults(honest) == []


def test_the_untouched_input_is_no_translation() -> None:
    assert "no better than the input" in faults(lambda n: [INPUTS[n]])


def test_an_error_that_may_be_that_of_the_input_is_no_better() -> None:
    """The mean is below that of the input, but the interval of the difference holds 0."""
    better_once = [TRUTHS[0], *INPUTS[1:]]
    scores = scores_of(lambda n: [better_once[n]])
    assert np.mean([score.error for score in scores]) < np.mean(
        [score.untouched or 0 for score in scores]
    )
    assert "no better than the input" in faults(lambda n: [better_once[n]])


def test_a_translation_of_another_input_is_no_better_than_chance() -> None:
    assert "no better than chance" in faults(lambda n: [TRUTHS[(n + 1) % COUNT]])


def test_one_picture_for_every_input_has_collapsed() -> None:
    assert set(faults(lambda n: [noisy(TRUTHS[0], 2, n)])) >= {"collapsed", "no better than chance"}


def test_a_good_mean_colour_is_no_match() -> None:
    """A grey picture has a smaller error than the input, and says nothing of it."""
    assert "no better than the input" not in faults(grey)
    assert "no better than chance" in faults(grey)


@pytest.mark.parametrize(("level", "ignored"), [(0.0, True), (6.0, True), (60.0, False)])
def test_a_code_that_changes_little_is_ignored(level: float, ignored: bool) -> None:
    def samples(n: int) -> list[Pixels]:
        shifts = np.linspace(-level, level, 4)
        return [np.clip(TRUTHS[n] + shift, 0, 255).astype(np.uint8) for shift in shifts]

    assert ("ignores the code" in faults(samples, coded=True)) is ignored


@pytest.mark.parametrize("count", [1, 2, LEAST_PAIRS - 1])
def test_few_pairs_are_not_judged(count: int) -> None:
    assert faults(honest, count=count) == ["too few pairs"]
    (first, *_) = judge_pairs(scores_of(honest, count=count), GAIN, warned_at=None)
    pairs = "1 held-out pair was" if count == 1 else f"{count} held-out pairs were"
    assert first.text == f"Only {pairs} measured. A verdict takes 5 or more."


@pytest.mark.parametrize(
    ("validations", "text", "fault"),
    [
        ([(100, 0.5)], None, ""),
        ([(100, 0.5), (200, 0.5)], "No validation is better than the first", "no gain"),
        ([(100, 0.5), (1200, 0.4)], "from 0.500 at step 100 to 0.400 at step 1,200.", ""),
        ([(1, 0.5), (2, 0.4), (3, 0.6)], "0.400 at step 2; it is 0.600 at step 3.", ""),
    ],
)
def test_the_validation_is_held_against_the_first(
    validations: list[tuple[int, float]], text: str | None, fault: str
) -> None:
    remarks = judge_pairs(scores_of(honest), validations, warned_at=None)
    found = [remark for remark in remarks if "alidation" in remark.text]
    if text is None:
        assert not found
    else:
        (remark,) = found
        assert text in remark.text
        assert remark.fault.startswith(fault)
        assert bool(remark.fault) is bool(fault)


def test_a_late_health_warning_is_a_fault() -> None:
    remarks = judge_pairs(scores_of(honest), GAIN, warned_at=1500)
    assert faults_of(remarks) == ["warned in training"]
    assert remarks[-1].text == "The training warned at step 1,500: see Warnings."


def test_shares_of_matches_run_from_0_to_1() -> None:
    assert share_of_matches(scores_of(honest)) == [1.0] * COUNT
    assert share_of_matches(scores_of(grey)) == [0.5] * COUNT


def test_a_truth_of_another_size_is_not_measured() -> None:
    assert score_pair(INPUTS[0], [TRUTHS[0]], TRUTHS[0][:-1]) is None


def test_channels_that_differ_have_no_untouched_input() -> None:
    score = score_pair(INPUTS[0][..., :1], [TRUTHS[0]], TRUTHS[0])
    assert score is not None
    assert score.untouched is None
    text = judge_pairs([score] * LEAST_PAIRS, [], warned_at=None)[0].text
    assert text == "The error against the truth is 0.000."
