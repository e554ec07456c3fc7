"""The page of `watch` in a real browser, while rows, samples and runs come and go."""

import json
import shutil
from pathlib import Path

import pytest
from fixtures.chromium import BROWSER, browser
from fixtures.runs import make_light_run
from serving.service import watching

from imgtranslate.evaluation.report import live
from imgtranslate.settings.config import DataSettings, TrainSettings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no chromium here")]
HOSTILE = "<img src=x onerror=\"document.title='gone'\">"
TEXT = "(selector) => [...document.querySelectorAll(selector)].map((each) => each.textContent)"
CUT = """[...document.querySelectorAll("main *, header *")].filter((each) => {
  if (each.closest("details:not([open]), svg") || !each.checkVisibility()) return false;
  const box = each.getBoundingClientRect();
  return box.left < -0.5 || box.right > innerWidth + 0.5;
}).map((each) => each.outerHTML.slice(0, 120))"""
ROWS = [{"step": n, "gan_ab": n / 10, "lr": 0.1, "validation": 1 / n} for n in range(10, 60, 10)]


@pytest.fixture(autouse=True)
def reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "READING_SHARE", 1e9)


def test_a_run_is_followed(tmp_path: Path) -> None:
    data = DataSettings(name_a=HOSTILE, name_b="zebras", load_size=16, crop_size=16)
    run = make_light_run(tmp_path / HOSTILE, data=data)
    with watching(run.folder) as service, browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{service.port}/")
        texts = f"({TEXT})"
        assert page.tell(f"{texts}('h1')") == [f"{HOSTILE} ⇄ zebras"]
        assert page.tell(f"{texts}('#curves .note')")[0].startswith("No figures yet. The first row")
        for row in ROWS:
            run.append_metrics(row)
        page.wait("document.querySelectorAll('.chart').length === 3")
        page.tell("document.querySelector('.chart .keys button').click()")
        page.tell("document.querySelector('.chart svg').focus()")

        health = {"collapsed_ab": "zebras <b>have</b> collapsed"}
        run.append_metrics({"step": 60, "gan_ab": 9, "validation": 2, "health": health})
        make_light_run(tmp_path / "other", samples=(50, 60))
        shutil.rmtree(run.samples)
        (tmp_path / "other/samples").rename(run.samples)
        page.wait("document.querySelectorAll('#unwell li').length === 1")
        page.wait("document.querySelector('#time img')?.naturalWidth > 0")
        assert page.tell(f"{texts}('#unwell li')") == ["Step 60: zebras <b>have</b> collapsed"]
        assert page.tell("document.querySelector('.chart .keys button').ariaPressed") == "false"
        assert page.tell("document.activeElement === document.querySelector('.chart svg')")
        assert page.tell("document.querySelector('#time output').textContent") == "step 60"
        assert page.tell("document.querySelectorAll('img[onerror]').length") == 0
        assert page.tell("document.title") == HOSTILE

        shutil.rmtree(run.folder)
        page.wait(f"{texts}('#unwell li').join().includes('is gone')")
        assert page.tell("document.querySelectorAll('.chart').length") == 3
        service.stopping.set()
        page.wait("!document.querySelector('#lost').hidden")
        assert all("Failed to load resource" in fault for fault in page.faults())


def test_runs_are_compared_and_new_ones_appear(tmp_path: Path) -> None:
    for n, name in enumerate(("one", "two")):
        train = TrainSettings(steps=100, seed=n)
        make_light_run(tmp_path / "runs" / name, rows=ROWS[: 3 + n], samples=(10,), train=train)
    with watching(tmp_path / "runs") as service, browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{service.port}/")
        texts = f"({TEXT})"
        page.wait("document.querySelectorAll('.chart').length === 3")
        page.tell("document.querySelector('#list input:not(:checked)').click()")
        page.wait("document.querySelectorAll('#time figure:not([hidden])').length === 2")
        assert len(page.tell("location.hash").split(",")) == 2
        page.wait(f"{texts}('#settings td').length === 3")
        assert page.tell(f"{texts}('#settings td')")[0] == "train.seed"
        labels = page.tell(f"{texts}('.chart .keys .name')")
        assert sorted(labels) == ["one"] * 3 + ["two"] * 3

        make_light_run(tmp_path / "runs/three")
        page.wait(f"{texts}('#list tbody a').includes('three')")
        shutil.rmtree(tmp_path / "runs/one")
        page.wait(f"{texts}('#unwell li').join().includes('one: The folder is gone.')")
        assert not page.faults(), page.faults()


def test_nothing_is_cut_on_a_phone(tmp_path: Path) -> None:
    health = {"collapsed_ab": f"{'x' * 90}/{'y' * 90}"}
    for name in ("x" * 90, "a long name with spaces, quotes ' and \""):
        rows = [*ROWS, {"step": 60, "health": health}]
        make_light_run(tmp_path / "runs" / name, rows=rows, samples=(10, 20))
    with watching(tmp_path / "runs") as service, browser(tmp_path / "profile") as page:
        page.screenshot(tmp_path / "blank.png", width=390, height=800)
        page.open(f"http://127.0.0.1:{service.port}/")
        page.wait("document.querySelectorAll('.chart').length === 3")
        assert page.tell(CUT) == []
        keys = page.tell("show.list.runs.map((run) => run.key)")
        page.tell(f"location.hash = {json.dumps(','.join(keys))}")
        page.wait("document.querySelectorAll('#time figure').length === 2")
        assert page.tell(CUT) == []
        assert page.tell("document.documentElement.scrollWidth") == 390
