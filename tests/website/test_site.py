"""The built site in a real browser: no page scrolls sideways, the table of services fits, the search finds."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.website import site
from tests.website.browser import Page, browser, program

WIDTHS = (390, 1280)

if program() is None and "SERVICECTX_REQUIRE_SERVERS" not in os.environ:
    pytest.skip("no Chromium and no Chrome on PATH", allow_module_level=True)

# The widest content of a table or code block may scroll within its own frame; the page may not.
SIDEWAYS = "document.scrollingElement.scrollWidth > document.documentElement.clientWidth"
TABLES = """[...document.querySelectorAll(".md-typeset__scrollwrap")]
    .filter(frame => frame.scrollWidth > frame.clientWidth).length"""
SEARCH = """new Promise(done => {
    const field = document.querySelector("[data-md-component=search-query]")
    const results = document.querySelector("[data-md-component=search-result]")
    const found = () => [...results.querySelectorAll("a")].map(link => link.getAttribute("href"))
    new MutationObserver(() => found().length && done(found())).observe(results, {childList: true, subtree: true})
    document.querySelector("#__search").click()
    field.focus()
    field.value = "linger"
    field.dispatchEvent(new Event("keyup", {bubbles: true}))
    field.dispatchEvent(new Event("input", {bubbles: true}))
})"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    site.build(folder)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with site.serve(built) as url:
        yield url


def wide(page: Page, address: str, paths: list[str]) -> list[str]:
    """The paths whose pages scroll sideways at one of the widths."""
    found = []
    for path in paths:
        page.open(f"{address}/{path}")
        for width in WIDTHS:
            page.resize(width, 100)
            if page.run(SIDEWAYS):
                found.append(path)
                break
    return found


@pytest.mark.timeout(600)
def test_no_page_scrolls_sideways(built: Path, page: Page, address: str) -> None:
    """Scripts take two thirds of the time of a page, and make pages narrower: they put tables into frames."""
    with page.without_scripts():
        suspects = wide(page, address, site.pages(built))
    assert not wide(page, address, suspects)


# The rules of GitHub and PyPI that keep the content of a README within its page.
README_STYLE = """<meta name=viewport content="width=device-width"><style>
    body { overflow-wrap: break-word } img { max-width: 100% } pre { overflow: auto }
    table { display: block; overflow: auto }
</style>"""


def test_the_readme_as_rendered_does_not_scroll_sideways(page: Page, tmp_path: Path) -> None:
    text = (site.ROOT / "README.md").read_text(encoding="utf-8")
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    (tmp_path / "readme.html").write_text(README_STYLE + rendered, encoding="utf-8")
    shutil.copytree(site.ROOT / "docs/assets", tmp_path / "docs/assets")
    with site.serve(tmp_path) as address:
        assert not wide(page, address, ["readme.html"])
    pictures = "[...document.images].map(picture => picture.naturalWidth)"
    widths = page.run(pictures)
    assert len(widths) == text.count("<img ") + text.count("![")
    assert all(widths)


def test_the_colours_follow_the_system(page: Page, address: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    found = {}
    for scheme in ("light", "dark"):
        page.colours(scheme)
        page.open(f"{address}/support/")
        found[scheme] = sum(page.run(background)) / 3
    page.colours("light")
    assert found["light"] > 200
    assert found["dark"] < 60


def test_a_page_that_scrolls_sideways_is_found(page: Page, address: str) -> None:
    page.open(f"{address}/support/")
    page.resize(390)
    page.run("document.querySelector('article').insertAdjacentHTML('beforeend', '<div style=width:600px>wide</div>')")
    assert page.run(SIDEWAYS)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_services_fits(page: Page, address: str, width: int) -> None:
    page.resize(width)
    page.open(f"{address}/services/")
    assert page.run("document.querySelectorAll('.md-typeset__scrollwrap').length") > 5
    assert page.run(TABLES) == 0


def test_the_search_finds_a_page(page: Page, address: str) -> None:
    page.resize(1280)
    page.open(f"{address}/")
    assert any("guide/" in link for link in page.run(SEARCH))


def test_every_page_has_its_neighbours_the_colours_and_the_repository(page: Page, address: str) -> None:
    page.resize(1280)
    page.open(f"{address}/pytest/")
    for part in (".md-footer__link--prev", ".md-footer__link--next", ".md-tabs__item", ".md-source", "#__palette_2"):
        assert page.run(f"document.querySelector('{part}') !== null"), part
