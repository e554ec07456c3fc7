"""The diagrams and tables of the pages show the networks, losses and steps as they are."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from docs.diagrams import figures, networks, tracing
from docs.diagrams.__main__ import DRAWINGS, FOLDER, TABLES, main
from docs.diagrams.canvas import Canvas
from docs.diagrams.steps import draw_step
from docs.diagrams.tracing import (
    Update,
    gradients,
    layer_sizes,
    picture,
    receptive_fields,
    settings_of,
    small_method,
    trace_step,
)
from imgtranslate.builders import build_discriminator
from imgtranslate.methods.cyclegan import CycleGan
from imgtranslate.settings.config import PatchGanConfig, Settings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.stem: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md"))}
SVG = "{http://www.w3.org/2000/svg}"


# Files


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_stored_diagram_is_the_one_drawn_now(name: str) -> None:
    stored = (FOLDER / f"{name}.svg").read_text("utf-8")
    assert stored == DRAWINGS[name]().svg(), "draw anew: python -m docs.diagrams"


def test_every_stored_diagram_is_drawn_and_shown_on_a_page() -> None:
    shown = {
        name for page in PAGES.values() for name in re.findall(r"\(diagrams/([\w-]+)\.svg\)", page)
    }
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(DRAWINGS) == shown


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_diagram_is_small_self_contained_and_described(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text("utf-8")
    root = ElementTree.fromstring(text)
    assert len(text.encode()) < 30_000
    assert root.findtext(f"{SVG}title")
    assert len(root.findtext(f"{SVG}desc") or "") > 40
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"href|@import|<image|<script", text)


def test_the_command_writes_every_diagram(tmp_path: Path) -> None:
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.svg" for name in DRAWINGS}


def test_the_command_prints_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(tables=True)
    printed = capsys.readouterr().out
    for name, table in TABLES.items():
        assert f"{name}\n\n{table()}" in printed


# Tables and numbers of the pages


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("how-it-works", "Gradients of CycleGAN"),
        ("how-it-works", "Gradients of BicycleGAN"),
        ("how-it-works", "Losses of a draw"),
        ("how-it-works", "Patches"),
        ("how-it-works", "Networks"),
        ("pix2pix", "Gradients of pix2pix"),
        ("bicyclegan", "Gradients of BicycleGAN"),
    ],
)
def test_a_table_of_a_page_is_the_one_computed_now(page: str, table: str) -> None:
    assert f"\n\n{TABLES[table]()}\n\n" in PAGES[page], "see: python -m docs.diagrams --tables"


def test_the_text_grows_the_receptive_field_as_the_network_does() -> None:
    *some, last = (str(field.side) for field in receptive_fields(_patchgan()))
    assert f"1 px grows to {', '.join(some)} and {last} px" in PAGES["how-it-works"].replace(
        "\n", " "
    )


def test_links_into_a_page_name_a_heading() -> None:
    for name, page in PAGES.items():
        for target, anchor in re.findall(r"\]\(([\w-]*)(?:\.md)?#([\w-]+)\)", page):
            headings = re.findall(r"^#+ (.+)$", PAGES[target or name], re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in anchors, (name, target, anchor)


def test_words_in_italics_are_in_the_glossary() -> None:
    text = PAGES["how-it-works"].partition("## Papers")[0].replace("\n", " ")
    marked = re.findall(r"(?<!\*)\*(?!\*)([^*]+)\*(?!\*)", text)
    terms = ", ".join(re.findall(r"^\*\*(.+?)\*\*", PAGES["glossary"], re.MULTILINE)).split(", ")
    stems = {re.sub(r"(ed|s|es)$", "", word.lower()) for word in marked} - {"italic", "pass"}
    assert len(stems) > 20
    assert not {stem for stem in stems if not any(stem in term.lower() for term in terms)}


# Receptive field and sizes


def _patchgan(layers: int = 3) -> nn.Module:
    config = PatchGanConfig(num_layers=layers, base_channels=2, norm="none")
    return build_discriminator(config, in_channels=1)


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_the_receptive_field_is_the_published_one(layers: int, side: int) -> None:
    assert receptive_fields(_patchgan(layers))[-1].side == side


def test_the_receptive_field_is_where_the_gradient_is() -> None:
    network, last = _patchgan(), receptive_fields(_patchgan())[-1]
    for weight in network.parameters():
        nn.init.ones_(weight)  # nothing cancels out
    image = torch.ones(1, 1, 256, 256, requires_grad=True)
    network(image)[0, 0, 15, 12].backward()
    assert image.grad is not None
    rows, columns = (image.grad[0, 0].any(dim=side).nonzero().flatten() for side in (1, 0))
    for lines, cell in ((rows, 15), (columns, 12)):
        first = last.start + cell * last.jump
        assert (int(lines[0]), int(lines[-1])) == (first, first + last.side - 1)


def test_sizes_are_those_that_layers_make() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.pool(x)
            return y

    sizes = layer_sizes(Halves(), picture(3, 10))["pool"]
    assert (sizes.before, sizes.after) == ((3, 10, 10), (3, 5, 5))


@pytest.mark.parametrize(
    ("norm", "shared"),
    [
        (nn.BatchNorm2d(4), ".x..|.x..|.x.."),
        (nn.GroupNorm(1, 4), "....|xxxx|...."),
        (nn.GroupNorm(2, 4), "....|xx..|...."),
        (nn.InstanceNorm2d(4), "....|.x..|...."),
        (nn.Identity(), "....|.x..|...."),
    ],
)
def test_values_that_share_statistics_are_found(norm: nn.Module, shared: str) -> None:
    rows = networks.shared_statistics(norm)
    assert "|".join("".join(".x"[same] for same in row) for row in rows) == shared


# Training steps


def test_the_step_of_cyclegan_is_traced_in_its_order() -> None:
    generators, discriminators = (
        ("generator_ab", "generator_ba"),
        ("discriminator_a", "discriminator_b"),
    )
    assert trace_step(small_method("cyclegan")) == [
        Update("generators", generators, discriminators),
        Update("discriminators", discriminators, ()),
    ]


def test_the_step_of_pix2pix_is_traced_in_its_order() -> None:
    assert trace_step(small_method("pix2pix")) == [
        Update("discriminators", ("discriminator",), ()),
        Update("generators", ("generator",), ("discriminator",)),
    ]


def test_a_discriminator_that_is_not_frozen_shows_in_the_step() -> None:
    method = small_method("cyclegan")
    assert isinstance(method, CycleGan)
    assert method.discriminator_b is not None
    method.discriminator_b.requires_grad_ = lambda *_: method.discriminator_b  # type: ignore
    assert "discriminator_b" in trace_step(method)[0].learns


def test_the_encoder_does_not_learn_from_the_latent_term() -> None:
    assert gradients(small_method("bicyclegan"))["latent"] == {
        "generator": "learns",
        "encoder": "passes",
    }
    assert gradients(small_method("clr-gan"))["latent"]["encoder"] == "learns"


# Drawings follow the settings


def _changed(layer: dict[str, object]) -> Settings:
    return settings_of("cyclegan", layer)


def test_other_settings_draw_another_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    layer: dict[str, object] = {"generator": {"num_blocks": 6}}
    monkeypatch.setattr(networks, "settings_of", lambda *_: _changed(layer))
    drawn = networks.draw_resnet().svg()
    assert "6 blocks" in drawn
    assert "7,837,699 parameters" in drawn


def test_other_settings_draw_another_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    layer: dict[str, object] = {"discriminator": {"num_layers": 2}}
    monkeypatch.setattr(networks, "settings_of", lambda *_: _changed(layer))
    assert "34 \u00d7 34 px" in networks.draw_patchgan().svg()


def test_other_weights_draw_another_step(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_step("cyclegan").svg()
    changed = _changed({"method": {"lambda_a": 7.0}}).method
    monkeypatch.setattr("docs.diagrams.words.cyclegan", lambda: changed)
    assert "L1(rec_a, real_a) \u00d7 7" in draw_step("cyclegan").svg() != before


def test_a_term_without_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = lambda _: ({"new": torch.zeros(())}, {})  # noqa: E731
    monkeypatch.setattr("docs.diagrams.steps.terms_of", unknown)
    with pytest.raises(KeyError, match="new"):
        draw_step("cyclegan")


# Canvas


def _canvas() -> Canvas:
    return Canvas(200, 100, title="A title", description="A description")


def test_a_text_that_leaves_its_box_is_refused() -> None:
    canvas = _canvas()
    canvas.box(10, 10, 60, 30, ["a line that is too long"])
    with pytest.raises(ValueError, match="'a line that is too long' leaves its room"):
        canvas.svg()


def test_a_text_that_leaves_the_drawing_is_refused() -> None:
    canvas = _canvas()
    canvas.text(100, 120, "below")
    assert canvas.faults() == ["'below' leaves its room"]


def test_a_text_on_another_is_refused() -> None:
    canvas = _canvas()
    canvas.text(20, 40, "one")
    canvas.text(30, 44, "other")
    assert canvas.faults() == ["'other' lies on 'one'"]


def test_texts_are_escaped() -> None:
    canvas = _canvas()
    canvas.text(20, 40, "a < b & c")
    assert "a &lt; b &amp; c" in canvas.svg()


def test_the_draw_is_where_the_generator_is_as_good_as_the_discriminator() -> None:
    rows = figures.draw_table().splitlines()[2:]
    assert rows == ["| `lsgan` | 0.5 | 0.25 | 0.25 |", "| `vanilla` | 0 | 0.693 | 0.693 |"]


def test_tracing_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    tracing.small_method("cyclegan")
    assert torch.equal(torch.get_rng_state(), before)
