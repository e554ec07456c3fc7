from collections.abc import Iterable
from typing import Any

import pytest

from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.health import Health, draw_of


def health(method: str = "cyclegan", **losses: Any) -> Health:
    names = {"name_a": "horses", "name_b": "zebras"}
    layers = [{"data": {"a": "a", "b": "b", **names}, "method": losses}]
    return Health(settings=build_settings(method=method, layers=layers))


def said(watch: Health, rows: Iterable[dict[str, float]]) -> list[tuple[int, str]]:
    return [(int(row["step"]), name) for row in rows for name in watch.see(row)]


def logged(name: str, value: float, *, until: int, every: int = 50) -> list[dict[str, float]]:
    even = {"discriminator_a": 0.25, "discriminator_b": 0.25}
    return [{"step": step, **even, name: value} for step in range(every, until + 1, every)]


def test_a_won_game_is_told_after_2000_steps_and_not_in_every_row() -> None:
    found = said(health(), logged("discriminator_a", 0.04, until=10_000))
    assert found == [(step, "discriminator_a_won") for step in (2000, 4000, 8000)]
    assert said(health(), logged("discriminator_a", 0.06, until=10_000)) == []


def test_a_game_that_is_quite_lost_is_told_within_500_steps() -> None:
    assert said(health(), logged("discriminator_a", 0.01, until=500)) == [
        (300, "discriminator_a_won")
    ]


def test_what_passes_is_not_held_against_a_run() -> None:
    rows = logged("discriminator_a", 0.04, until=6000)
    for row in rows[::20]:
        row["discriminator_a"] = 0.2
    assert said(health(), rows) == []


def test_the_line_has_the_figures_and_what_to_do() -> None:
    watch = health()
    lines = [watch.see(row) for row in logged("discriminator_a", 0.04, until=2000)]
    assert lines[-1]["discriminator_a_won"] == (
        "discriminator of horses has won: its loss has been below 0.05 for 2000 steps (0.04 now; "
        "a draw is 0.25), and the generator learns little. Lower optimizer.lr, add pictures, or "
        "start again with another train.seed"
    )


@pytest.mark.parametrize(
    ("method", "losses", "name", "weight"),
    [
        ("cyclegan", {"lambda_gan_ab": 4.0}, "gan_ab", 4.0),
        ("cyclegan", {"lambda_gan_ba": 4.0, "update": "alternating"}, "gan_ba", 4.0),
        ("pix2pix", {"lambda_gan": 3.0}, "gan", 3.0),
        ("bicyclegan", {}, "gan_vae", 1.0),
    ],
)
def test_a_generator_can_win_too(
    method: str, losses: dict[str, Any], name: str, weight: float
) -> None:
    fooled = logged(name, 0.03 * weight, until=2000)
    assert f"generator_{name}_won" in {x for _, x in said(health(method, **losses), fooled)}
    fair = logged(name, 0.3 * weight, until=2000)
    assert not [x for x in said(health(method, **losses), fair) if "generator" in x[1]]


def test_wasserstein_losses_are_not_taken_for_games() -> None:
    assert said(health(gan_mode="wgangp"), logged("discriminator_a", -30.0, until=9000)) == []


@pytest.mark.parametrize(
    ("losses", "name", "value", "figure"),
    [
        ({}, "discriminator_b", 40.0, "discriminator of zebras has 40, and a draw is 0.25"),
        ({"lambda_gan_ab": 4.0}, "gan_ab", 400.0, "generator horses → zebras has 1e+02, and a "),
        ({"gan_mode": "vanilla"}, "discriminator_a", 90.0, "discriminator of horses has 90, "),
        ({"gan_mode": "hinge"}, "discriminator_a", 120.0, "discriminator of horses has 1.2e+02, "),
        (
            {"gan_mode": "hinge"},
            "gan_ba",
            -3e6,
            "generator zebras → horses has 3e+06, and no ",
        ),
        ({"gan_mode": "wgangp"}, "discriminator_a", 1e16, "discriminator of horses has 1e+16, "),
        ({"gan_mode": "wgangp"}, "discriminator_a", -1e16, "discriminator of horses has 1e+16, "),
        (
            {"gan_mode": "wgangp"},
            "cycle_a",
            2e6,
            "cycle_a has 2e+06, and no loss should ",
        ),
    ],
)
def test_losses_that_are_far_too_large_are_told(
    losses: dict[str, Any], name: str, value: float, figure: str
) -> None:
    watch = health(**losses)
    rows = logged(name, value, until=600, every=50)
    assert said(watch, rows) == [(step, "diverged") for step in (50, 100, 200, 400)]
    assert watch.diverged.startswith(f"the losses have diverged: {figure}")
    watch.see(logged(name, 0.25, until=650)[-1])
    assert watch.diverged == ""


@pytest.mark.parametrize(
    ("losses", "name", "value"),
    [
        ({}, "discriminator_a", 20.0),
        ({"lambda_gan_ab": 100.0}, "gan_ab", 900.0),
        ({"lambda_a": 1000.0}, "cycle_a", 2000.0),
        ({"gan_mode": "hinge"}, "gan_ab", -500.0),
        *(({"gan_mode": "wgangp"}, "discriminator_a", value) for value in (9e4, -9e4)),
        ({"gan_mode": "wgangp"}, "gan_ab", 9e4),
        ({}, "epoch", 1e9),
    ],
)
def test_losses_of_ordinary_size_are_not_taken_for_divergence(
    losses: dict[str, Any], name: str, value: float
) -> None:
    watch = health(**losses)
    assert "diverged" not in {found for _, found in said(watch, logged(name, value, until=500))}
    assert watch.diverged == ""


@pytest.mark.parametrize(
    ("method", "losses", "draw"),
    [
        ("cyclegan", {}, 0.25),
        ("pix2pix", {}, 0.6931),
        ("cyclegan", {"gan_mode": "hinge"}, 1.0),
        ("bicyclegan", {}, 1.0),  # two scales, not halved
    ],
)
def test_what_a_draw_is(method: str, losses: dict[str, Any], draw: float) -> None:
    assert draw_of(health(method, **losses).settings) == pytest.approx(draw, abs=1e-4)


def test_a_code_that_does_nothing_is_told() -> None:
    rows = [{"step": step, "diversity": 0.001} for step in range(100, 2001, 100)]
    assert said(health("bicyclegan"), rows) == [
        (step, "code_ignored") for step in (500, 1000, 2000)
    ]
    assert said(health("bicyclegan"), [{"step": 900, "diversity": 0.02}]) == []


@pytest.mark.parametrize(
    ("contrast", "remedy"),
    [
        (20.0, "The contrastive loss, 20, outweighs the adversarial one, 1. Start again with a "
         "method.lambda_nce lower than 10"),
        (5.0, "Lower optimizer.lr, add pictures, or start again with another train.seed"),
    ],
)  # fmt: skip
def test_a_contrastive_loss_that_lets_the_discriminator_win_is_named(
    contrast: float, remedy: str
) -> None:
    rows = [
        {"step": step, "discriminator": 0.01, "gan": 1.0, "nce": contrast}
        for step in range(50, 501, 50)
    ]
    watch = health("fastcut")
    (line,) = [each["discriminator_won"] for row in rows if (each := watch.see(row))]
    assert line.startswith("discriminator has won: ")
    assert line.endswith(f"the generator learns little. {remedy}")


def test_a_discriminator_that_is_winning_against_the_contrast_is_told_early() -> None:
    """The losses are those of fastcut on the demo's pictures, and of cut there."""
    row = {"discriminator": 0.11, "gan": 0.8, "nce": 15.0}
    watch = health("fastcut")
    found = [watch.see({"step": step, **row}) for step in range(50, 351, 50)]
    assert [list(each) for each in found] == [[]] * 5 + [["contrast_outweighs"], []]
    assert found[5]["contrast_outweighs"] == (
        "the discriminator is winning, with 0.11 where a draw is 0.25: the contrastive loss, 15, "
        "outweighs the adversarial one, 0.8. Start again with a method.lambda_nce lower than 10"
    )
    for other in (
        {"discriminator": 0.25, "gan": 0.38, "nce": 15.0},
        {"discriminator": 0.11, "gan": 0.4, "nce": 0.63, "nce_identity": 0.54},
    ):
        watch = health("cut")
        assert not any(watch.see({"step": step, **other}) for step in range(50, 2001, 50))


def test_one_way_lost_content_and_doing_nothing_are_told() -> None:
    row = {"step": 500, "validation_content": 0.95, "change_ab": 0.2}
    lines = health("cut").see(row)
    assert set(lines) == {"lost_content_ab"}
    assert "by only 0.05 of 1. Raise method.lambda_nce" in lines["lost_content_ab"]
    lines = health("cut").see(row | {"validation_content": 0.05, "change_ab": 0.012})
    assert set(lines) == {"does_nothing_ab"}
    assert "only 1.2% of the range. Lower method.lambda_nce" in lines["does_nothing_ab"]
    assert not health("cut").see(row | {"validation_content": 0.7})  # as of labels and photos


def test_looks_are_told_with_their_figures() -> None:
    row = {"step": 500, "spread_ab": 0.05, "brightness_ab": 0.9}
    lines = health().see(row | {"spread_ba": 0.8, "brightness_ba": -0.62})
    assert set(lines) == {"collapsed_ab", "inverted_ba"}
    assert "5.0%" in lines["collapsed_ab"]
    assert "zebras → horses inverts brightness" in lines["inverted_ba"]
    assert "-0.62" in lines["inverted_ba"]


def test_no_better_validation_for_long_is_told() -> None:
    values = [0.5, 0.4, *[0.45] * 19]
    rows = [{"step": 500 * (n + 1), "validation": value} for n, value in enumerate(values)]
    watch = health()
    assert said(watch, rows) == []
    (line,) = watch.see({"step": 11_000, "validation": 0.47}).values()
    assert line.startswith("validation has not improved since step 1000: 0.4 then, 0.47 now.")
