"""The report as people see it: in Chromium, on a desk and on a phone, light and dark."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from stt_tune.run.report import write_report
from tests.results.made_runs import HOSTILE, make_run, make_sweep

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTHS = (1280, 390)
_HEIGHT = 900

# Elements that stick out of the page, unless they lie in a box that scrolls by itself.
_FIND_WIDE = """() => {
  const scrolls = (each) => each && (["auto", "scroll", "hidden"].includes(getComputedStyle(each).overflowX)
    || scrolls(each.parentElement));
  return [...document.body.querySelectorAll("*")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1)
      && !scrolls(each.parentElement) && !each.closest("#js-plotly-tester");
  }).map((each) => each.tagName + "." + each.getAttribute("class") + "#" + each.id);
}"""
# Texts of figures that their own drawing cuts off.
_FIND_CUT = """() => [...document.querySelectorAll(".main-svg text")].filter((each) => {
  const box = each.getBoundingClientRect(), around = each.closest(".plot").getBoundingClientRect();
  return each.textContent && box.width > 0 && (box.left < around.left - 2 || box.right > around.right + 2);
}).map((each) => each.closest(".plot").id + ": " + each.textContent)"""
# The lowest contrast of a figure's texts with what they lie on (WCAG's ratio).
_FIND_CONTRAST = """() => {
  const read = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, i) => sum + each * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = light(read(getComputedStyle(document.querySelector("figure")).backgroundColor));
  return Math.min(...[...document.querySelectorAll(".plot .xtick text, .plot .ytick text, .plot .legendtext")]
    .map((each) => light(read(getComputedStyle(each).fill)))
    .map((each) => (Math.max(each, ground) + 0.05) / (Math.min(each, ground) + 0.05)));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a whole run, of one with hostile texts, of an unfinished one, and of several."""
    folder = tmp_path_factory.mktemp("reports")
    hostile = make_sweep("random", {"choice": {"values": [HOSTILE, "<b>b</b>"]}, "n" * 90: {"min": 0.1, "max": 1.0}})
    runs = {
        "whole": [make_run(folder / "whole", 60)],
        "hostile": [make_run(folder / "hostile", 40, text=f"{HOSTILE} {'w' * 90}", sweep=hostile)],
        "unfinished": [make_run(folder / "unfinished", 3, decision=None)],
        "two": [make_run(folder / "before", 20), make_run(folder / "after", 30, seed=1, decision="default_kept")],
    }
    return {
        name: Path(write_report([each.path for each in several], folder / f"{name}.html")[0])
        for name, several in runs.items()
    }


def _open(page: Page, path: Path) -> list[str]:
    """Show a report, scroll through all of it, and say what went wrong on the way."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    own = path.as_uri()
    page.on(
        "request", lambda request: wrong.append(request.url) if request.url != own and _is_sent(request.url) else None
    )
    page.goto(own)
    for top in range(0, page.evaluate("document.documentElement.scrollHeight"), _HEIGHT):
        page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
        page.wait_for_timeout(50)
    drawn = "[...document.querySelectorAll('.plot')].every((each) => each.querySelector('.main-svg'))"
    page.wait_for_function(drawn, timeout=120_000)  # ms; it takes long on a busy machine
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    return wrong


def _is_sent(url: str) -> bool:
    return not url.startswith(("data:", "blob:"))


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        *itertools.product(["whole"], _WIDTHS, ["light", "dark"]),
        ("hostile", 390, "dark"),
        ("unfinished", 1280, "dark"),
        ("two", 390, "dark"),
        *(
            pytest.param(name, width, "dark", marks=pytest.mark.slow)
            for name, width in (("hostile", 1280), ("unfinished", 390), ("two", 1280))
        ),
    ],
)
def test_a_report_is_whole_at_every_width_and_in_both_schemes(
    browser: Browser, pages: dict[str, Path], tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    with browser.new_context(viewport={"width": width, "height": _HEIGHT}, color_scheme=scheme) as context:
        page = context.new_page()
        wrong = _open(page, pages[name])
        page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
        assert not wrong
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not page.evaluate(_FIND_WIDE)
        assert not page.evaluate(_FIND_CUT)
        assert page.evaluate(_FIND_CONTRAST) > 4.5
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => +each.tagName[1])")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_would_be_wrong_is_found(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text(
        '<figure style="background: #fff; margin: 0"><div class="plot" style="width: 300px"><svg class="main-svg">'
        '<g class="xtick"><text x="-50" y="20" style="fill: #ccc">cut off</text></g></svg></div></figure>'
        '<p style="width: 2000px">wide</p><img src="http://127.0.0.1:9/none.png"><script>console.error("told")</script>'
    )
    with browser.new_context(viewport={"width": 1280, "height": _HEIGHT}) as context:
        page = context.new_page()
        wrong = _open(page, path)
        assert "told" in wrong
        assert "http://127.0.0.1:9/none.png" in wrong
        assert page.evaluate(_FIND_WIDE) == ["P.null#"]
        assert page.evaluate(_FIND_CUT) == [": cut off"]
        assert page.evaluate(_FIND_CONTRAST) < 2


@pytest.mark.slow
def test_figures_become_files(browser: Browser, tmp_path: Path) -> None:
    page, files = write_report([make_run(tmp_path / "run", 3, decision=None).path], png=True)
    assert len(files) == len(re.findall('class="plot"', Path(page).read_text())) > 3
    for file in files:
        assert Path(file).parent == tmp_path / "run" / "report"
        assert Path(file).read_bytes().startswith(b"\x89PNG")


def test_figures_follow_the_scheme_when_it_changes(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": _HEIGHT}, color_scheme="light") as context:
        page = context.new_page()
        wrong = _open(page, pages["unfinished"])
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(500)
        assert page.evaluate(_FIND_CONTRAST) > 4.5
        assert not wrong
