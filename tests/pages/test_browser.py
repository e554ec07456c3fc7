"""The pages in a real browser, where one is installed: opened, clicked, read back."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fixtures.chromium import BROWSER, browser
from fixtures.models import CODED_UNET, model_header, save_model
from fixtures.pictures import save_picture
from fixtures.runs import make_run

from imgtranslate.evaluation.report.report import write_report
from imgtranslate.evaluation.study import write_study
from imgtranslate.evaluation.study_answers import collect
from imgtranslate.settings.config import BicycleGanConfig

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no chromium here")]
HOSTILE = "<img src=x onerror=\"document.title='gone'\">.png"

COLLECT = """
<script>
const seen = { faults: [] };
addEventListener("error", (event) => seen.faults.push(event.message));
const text = (selector) => [...document.querySelectorAll(selector)].map((each) => each.textContent);
const press = (key, target = window) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const later = (time) => new Promise((done) => setTimeout(done, time));
const tell = () => { document.body.append(make("pre", { id: "told" }, JSON.stringify(seen))); };
</script>
"""


def browse(page: Path, script: str, *, policy: bool = False) -> dict[str, Any]:
    """What ``script`` has put into ``seen``; the policy, which forbids it, is taken off first."""
    text = page.read_text("utf-8")
    assert BROWSER is not None
    if not policy:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("</body>", f"{COLLECT}<script>{script}</script></body>")
    copy = page.with_name("copy.html")
    copy.write_text(text, "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=100000000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [BROWSER, *options, profile, "--dump-dom", copy.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    if policy:
        return {"ready": 'data-ready="yes"' in dom}
    told = re.search(r'<pre id="told">(.*?)</pre>', dom, re.DOTALL)
    assert told is not None, dom[-2000:]
    found = json.loads(unescape(told[1]))
    assert isinstance(found, dict)
    assert found["faults"] == []
    return found


def test_the_report_opens_and_answers(tmp_path: Path) -> None:
    files = [
        save_picture(tmp_path / "h" / name, seed=n) for n, name in enumerate((HOSTILE, "b.png"))
    ]
    rows = [{"step": n, "gan_ab": n / 10, "lr": 0.1} for n in range(1, 6)]
    run = make_run(tmp_path, held_out=(files, files[:1]), rows=rows)
    page = write_report(run, device="cpu")
    assert browse(page, "", policy=True)["ready"]
    found = browse(
        page,
        """
        const way = document.querySelectorAll("#pictures .choice button");
        seen.title = document.title;
        seen.names = text("#pictures h3");
        seen.strange = document.querySelectorAll("img[onerror]").length;
        way[1].click();
        seen.other = text("#pictures figcaption");
        const plot = document.querySelector(".chart svg");
        press("Home", plot); press("ArrowRight", plot);
        seen.read = text(".chart header span")[0] + text(".chart .keys b")[0];
        const errors = () => text("#table td:nth-child(3)").map(Number);
        seen.down = errors();
        document.querySelectorAll("#table th button")[2].click();
        seen.up = errors();
        const range = document.querySelector(".slide input");
        range.value = 20; range.dispatchEvent(new Event("input"));
        seen.clip = document.querySelector(".slide .over").style.clipPath;
        seen.wide = document.documentElement.scrollWidth <= innerWidth;
        tell();
        """,
    )
    assert found["names"] == [HOSTILE]
    assert found["strange"] == 0
    assert "gone" not in found["title"]
    assert found["other"] == ["Real zebras", "Fake horses", "Recovered zebras"]
    assert found["read"] == "step 20.2"
    assert found["down"] == sorted(found["up"], reverse=True)
    assert found["up"] == sorted(found["up"])
    assert len(found["up"]) == 3
    assert found["clip"] == "inset(0px 0px 0px 20%)"
    assert found["wide"]


def test_a_bare_run_opens_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, held_out=((), ()), rows=())
    found = browse(
        write_report(run, device="cpu"),
        """
        seen.parts = text("section h2"); seen.links = text("nav a");
        seen.texts = text(".missing p"); seen.commands = text(".missing pre");
        tell();
        """,
    )
    assert found["links"] == [
        "Verdict", "Pictures", "Curves", "Checks", "Data", "Settings", "Reproduce",
    ]  # fmt: skip
    assert found["parts"] == [
        "Warnings", "Verdict", "Held-out pictures", "Curves", "Checks", "Data", "Settings",
        "Reproduce this run",
    ]  # fmt: skip
    assert found["commands"][:2] == [
        f"imgtranslate cycle-check --run {run}",
        f"imgtranslate train --resume {run}",
    ]
    assert found["texts"] == [
        "cycle-check has not been run on the held-out pictures.",
        "No pictures are held out, so nothing was measured on new pictures. "
        "Train with 10 or more pictures of each side.",
        "The training is at step 0 of 200.",
        "evaluate has not been run on the held-out pictures.",
    ]


RATES = """
const charts = [...document.querySelectorAll(".chart")];
const pathsOf = (title) => {
  const chart = charts.find((each) => each.querySelector("h3").textContent === title);
  const paths = [...chart.querySelectorAll("path")];
  return paths.map((path) => [path.getAttribute("class"), path.getAttribute("d")]);
};
const drawn = () => ["Learning rate", "Validation", "Generators"].map(pathsOf);
const slider = document.querySelector("#curves input[type=range]");
const smooth = (value) => { slider.value = value; slider.dispatchEvent(new Event("input")); };
smooth(0); seen.exact = drawn();
smooth(0.98); seen.smoothed = drawn();
seen.names = text(".chart .keys .name");
tell();
"""


def test_losses_are_smoothed_and_the_schedule_is_not(tmp_path: Path) -> None:
    rows = [
        {"step": n, "gan_ab": n % 3, "lr": 1 if n < 20 else 0.1, "validation": n % 5}
        for n in range(1, 41)
    ]
    found = browse(write_report(make_run(tmp_path, rows=rows), device="cpu"), RATES)
    for exact, smoothed in zip(found["exact"][:2], found["smoothed"][:2], strict=True):
        assert exact == smoothed
        assert [kind for kind, _ in smoothed] == ["line"]
    (exact,), (raw, line) = found["exact"][2], found["smoothed"][2]
    assert raw[1] == exact[1]
    assert line[1] != exact[1]
    assert found["names"] == ["validation", "adversarial, horses → zebras", "learning rate"]


def coded_run(folder: Path, **options: Any) -> Path:
    run = make_run(folder, method=BicycleGanConfig(), **options)
    save_model(run / "ab.safetensors", model_header(CODED_UNET, load_size=32, crop_size=32))
    return run


def test_each_seed_shows_its_sample(tmp_path: Path) -> None:
    found = browse(
        write_report(coded_run(tmp_path), device="cpu"),
        """
        const over = document.querySelector(".slide .over");
        const sample = () => [over.src, text("#pictures figcaption")[1]];
        seen.count = text(".samples button");
        seen.first = sample();
        document.querySelectorAll(".samples button")[4].click();
        seen.fifth = sample();
        seen.wanted = [data.pictures[0].pictures[1], data.pictures[0].samples[3]];
        const buttons = [...document.querySelectorAll(".samples button")];
        seen.pressed = buttons.map((each) => each.getAttribute("aria-pressed"));
        seen.numbers = text("#pictures dt");
        tell();
        """,
    )
    assert found["count"] == [f"Seed {n}" for n in range(6)]
    assert found["first"] == [found["wanted"][0], "Fake zebras, seed 0"]
    assert found["fifth"] == [found["wanted"][1], "Fake zebras, seed 4"]
    assert found["pressed"] == ["false"] * 4 + ["true", "false"]
    assert found["numbers"][-1] == "Diversity"


CUT = """[...document.querySelectorAll("main *, header *, nav *")].filter((each) => {
  if (each.closest(".film, details:not([open]), svg, .slide")) return false;
  if (!each.checkVisibility()) return false;
  const box = each.getBoundingClientRect();
  const scrolls = getComputedStyle(each).overflowX !== "visible";
  const hidden = scrolls && each.scrollWidth > each.clientWidth + 1;
  return box.left < -0.5 || box.right > 400.5 || hidden;
}).map((each) => each.outerHTML.slice(0, 120))"""
FIGURES = """[...document.querySelectorAll("#table td.figure")].filter((each) => {
  const box = each.getBoundingClientRect();
  return each.textContent && box.width > 0 && box.height > 0 && box.left >= 0 && box.right <= 400;
}).length"""
HEADINGS = """[...document.querySelectorAll("#table th")].map((each) =>
  each.firstChild.getBoundingClientRect().right <= each.getBoundingClientRect().right + 0.5)"""
LONG = "a long name without a place to break it, " + "x" * 60 + ".png"
SPREAD = {"mean": 0.25, "std": 0.125, "low": 0.2, "high": 0.3, "count": 2}
CHECKED = {"summary": {"directions": {"ab": {"mae": SPREAD, "verdict": "healthy"}}}}


@pytest.mark.parametrize("coded", [False, True])
def test_nothing_is_cut_on_a_phone(tmp_path: Path, coded: bool) -> None:
    files = [save_picture(tmp_path / "h" / name, seed=n) for n, name in enumerate((LONG, "b.png"))]
    run = (coded_run if coded else make_run)(tmp_path, held_out=(files, files))
    (run / "cycle-check.json").write_text(json.dumps(CHECKED))
    page = write_report(run, device="cpu")
    with browser(tmp_path / "profile") as tab:
        tab.screenshot(tmp_path / "blank.png", width=400, height=800)
        tab.open(page.as_uri())
        assert tab.tell("innerWidth") == 400
        assert tab.tell(CUT) == []
        numbers = 6 if coded else 4  # of a picture
        assert tab.tell(FIGURES) == numbers * (2 if coded else 4)
        assert tab.tell("document.documentElement.scrollWidth") == 400
        assert tab.tell(HEADINGS) == [True] * (numbers + (1 if coded else 2))
        assert tab.faults() == []


STUDY = """
(async () => {
  press("Enter");
  for (let index = 0; index < total; index += 1) {
    while (!(waiting && waiting.ArrowLeft)) {
      if (stage.querySelector(".cell img")) seen.showed = true;
      await later(50);
    }
    seen.hidden = stage.querySelectorAll(".cell img").length;
    press(ANSWER ? "ArrowRight" : "ArrowLeft");
    while (waiting && waiting.Enter) { press("Enter"); await later(1); }
    await later(10);
  }
  seen.share = text(".share")[0];
  seen.words = text(".words p")[0];
  seen.csv = csv();
  seen.wilson = [wilson(5, 8), wilson(0, 10), wilson(40, 40)];
  seen.exposure = answers.map((each) => each.seen);
  tell();
})();
"""


@pytest.mark.parametrize(
    ("answer", "share"),
    [("sideOf(index) === 1", "0\u2009%"), ("sideOf(index) === 0", "100\u2009%")],
)
def test_a_study_is_taken_with_the_keys(tmp_path: Path, answer: str, share: str) -> None:
    files = [save_picture(tmp_path / f"h/{n}.png", seed=n) for n in range(7)]
    page = write_study(make_run(tmp_path, held_out=(files, files)), device="cpu")
    assert browse(page, "", policy=True)["ready"]
    found = browse(page, STUDY.replace("ANSWER", answer))
    assert found["share"] == share
    assert found["hidden"] == 0
    assert found["showed"]
    assert "of 6 pairs; 95" in found["words"]
    assert all(995 <= time <= 1200 for time in found["exposure"])
    lines = found["csv"].strip().split("\r\n")
    assert lines[0] == "trial,scored,real,answer,fooled,shown_ms,answer_ms,study,model"
    assert len(lines) == 8
    assert [line.split(",")[1] for line in lines[1:]] == ["0", *"111111"]
    (tmp_path / "answers.csv").write_text(found["csv"], encoding="utf-8")
    (collected,) = collect([tmp_path / "answers.csv"]).shares
    assert f"{collected.value:.0%}" == share.replace("\u2009", "")
    assert collected.model == str(tmp_path / "run")
    low, high = zip(*found["wilson"], strict=True)  # statsmodels: proportion_confint, "wilson"
    assert low == pytest.approx((0.305742, 0, 0.912376), abs=1e-5)
    assert high == pytest.approx((0.863157, 0.277533, 1), abs=1e-5)


def test_two_models_are_compared_with_the_keys(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    page = write_study(run, compare=run, device="cpu")
    script = STUDY.replace("ANSWER", "sideOf(index) === 1").replace("seen.hidden", "seen.shown")
    found = browse(page, script)
    assert found["share"] == "100\u2009%"
    assert found["shown"] == 3
    assert found["csv"].startswith("trial,scored,first_model,answer,preferred_first")
    (tmp_path / "answers.csv").write_text(found["csv"], encoding="utf-8")
    shares = collect([tmp_path / "answers.csv"]).shares
    assert [share.model for share in shares] == [str(run), str(run)]
    assert [share.value for share in shares] == [1, 0]
