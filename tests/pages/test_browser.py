"""The pages in a real browser, where one is installed: opened, clicked, read back."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fixtures.chromium import BROWSER
from fixtures.pictures import save_picture
from fixtures.runs import make_run

from imgtranslate.evaluation.report.report import write_report
from imgtranslate.evaluation.study import write_study

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
        'seen.parts = text("section h2"); seen.links = text("nav a"); tell();',
    )
    assert found["parts"] == ["Warnings", "Data", "Settings", "Do it again"]
    assert found["links"] == ["Data", "Settings", "Do it again"]


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
    assert "6; 95" in found["words"]
    assert all(995 <= time <= 1200 for time in found["exposure"])
    lines = found["csv"].strip().split("\r\n")
    assert lines[0] == "trial,scored,real,answer,fooled,shown_ms,answer_ms"
    assert len(lines) == 8
    assert [line.split(",")[1] for line in lines[1:]] == ["0", *"111111"]
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
