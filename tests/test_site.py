"""The site of docs/ builds without a warning, leads to every page, and asks no other host for anything."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.readme import README, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy, so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("docs") / "docs"
    shutil.copytree(DOCS, copy, ignore=shutil.ignore_patterns("site", ".cache"))
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [zensical, "build", "--strict", "-f", copy / "zensical.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr  # a broken link or anchor is a warning
    return copy / "site"


def test_every_page_is_in_the_navigation() -> None:
    """A new page gets its line in docs/zensical.toml."""
    assert sorted(_targets(tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["nav"])) == [
        page.name for page in PAGES
    ]


def test_the_first_page_leads_to_every_page() -> None:
    """And the README leads there."""
    linked = set(re.findall(r"\(([\w-]+\.md)", (DOCS / "index.md").read_text()))
    assert {page.name for page in PAGES} - {"index.md"} <= linked
    assert "(docs/index.md)" in README.read_text()


def test_the_site_has_every_page(site: Path) -> None:
    """Each with its title."""
    for page in PAGES:
        title = page.read_text().split("\n", 1)[0].removeprefix("# ")
        built = site / "index.html" if page.stem == "index" else site / page.stem / "index.html"
        assert title.replace("'", "&#39;") in built.read_text()


def test_search_finds_settings_and_errors(site: Path) -> None:
    """The index of the search has their names."""
    index = (site / "search.json").read_text()
    for word in (
        "body_idle_seconds",
        "queue_share",
        "RequestTooLargeError",
        "overloaded_error",
        "cache_disagreement",
    ):
        assert word in index, word


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    """Fonts, scripts and styles are the site's own."""
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert [url for url in loaded if "://www.w3.org" not in url] == [], page.name


def _targets(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [found for item in (nav.values() if isinstance(nav, dict) else nav) for found in _targets(item)]
