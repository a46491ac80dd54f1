"""The spend page in headless Chromium: light and dark, on a desk and on a phone.

Needs `pip install playwright` and a Chromium: that of the system, or `playwright install chromium`. Without
them the test is skipped. NEXUSFLOW_SCREENSHOTS names a folder for the pictures.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.asgi.pages.test_spend import EVIL, page
from tests.servers import Served

__all__ = ["page"]  # a fixture

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"desk": 1280, "phone": 390}

CONTRASTS = """() => {
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map((n) => n / 255)
      .map((n) => n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor
      if (!color.startsWith("rgba(0, 0, 0, 0")) return color
    }
    return "rgb(255, 255, 255)"
  }
  return [...document.querySelectorAll("h1, h2, a, th, td, dt, dd, figcaption, footer, p")]
    .filter((element) => element.innerText && element.innerText.trim())
    .map((element) => {
      const [a, b] = [light(getComputedStyle(element).color), light(behind(element))]
      return [element.innerText.slice(0, 30), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]
    })
}"""
"""The contrast of each text with what is behind it, as WCAG counts it."""


@pytest.fixture
def browser() -> Iterator[Any]:
    """A running Chromium, or a reason why there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with driver.sync_playwright() as running:
        if path is None and not os.path.exists(running.chromium.executable_path):
            pytest.skip("Chromium is not installed")
        chromium = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(scheme: Any, width: str, page: Any, browser: Any) -> None:
    """It fits the screen, its texts have contrast, and it asks for nothing else."""
    gateway = page.routes[1].app
    with Served(Starlette(routes=page.routes, lifespan=gateway.lifespan)) as served:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": WIDTHS[width], "height": 900}, device_scale_factor=1
        )
        tab = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("dialog", lambda dialog: said.append("a dialog"))
        tab.goto(f"{served.url}/spend/")
        if folder := os.environ.get("NEXUSFLOW_SCREENSHOTS"):
            tab.screenshot(path=Path(folder) / f"spend-{scheme}-{width}.png", full_page=True)
        assert tab.inner_text("h1") == "Spending"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits the width"
        [red, green, blue] = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        assert (int(red) + int(green) + int(blue) < 150) is (scheme == "dark")
        contrasts = tab.evaluate(CONTRASTS)
        assert len(contrasts) > 40
        assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []
        assert tab.get_by_text("$7.50 of $10.00").is_visible()
        assert tab.get_by_text(EVIL).first.is_visible(), "what callers name themselves is text"
        heights = tab.eval_on_selector_all(".chart rect", "all => all.map((one) => one.getBBox().height)")
        assert len(heights) == 30
        assert sum(height > 0 for height in heights) == 12
        tab.get_by_role("link", name="team:red").first.click()
        assert tab.title() == "Spending: team:red"
        assert said == []
        paths = {url.removeprefix(served.url).partition("?")[0] for url in asked}
        assert paths - {"/favicon.ico"} == {"/spend/"}
        context.close()
