"""Links of README and documentation: pages, anchors, pictures, and the form of external addresses."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.house.test_docs import FENCE, PAGES, ROOT
from tests.website import terminal

LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)|\bsrc=\"([^\"]+)\"")
ASSETS = ROOT / "docs/assets"
BESIDE = [ROOT / name for name in ("RELEASING.md", "SECURITY.md", "CHANGELOG.md")]  # no pages of the site
LINKING = [*PAGES, *BESIDE, *sorted((ROOT / "examples").glob("*/*.md"))]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub and mkdocs make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found | set(re.findall(r'\bid="([^"]+)"', text))


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    return [first or second for first, second in LINK.findall(text)]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_anchors_exist(page: Path) -> None:
    dead = [link for link in links(page) if not exists(link, page)]
    assert not dead


def exists(link: str, page: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return parts.scheme == "https" and "." in parts.netloc and not re.search(r"[<>{} ]", link)
    target = (page.parent / parts.path).resolve() if parts.path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not parts.fragment or parts.fragment in anchors(target)


@pytest.mark.parametrize("link", ["guide.md#no-such-heading", "missing.md", "http://example.com", "https://local host"])
def test_a_dead_link_is_found(link: str) -> None:
    assert not exists(link, ROOT / "docs/index.md")


@pytest.mark.parametrize("picture", sorted(ASSETS.glob("*.svg")), ids=lambda picture: picture.name)
def test_pictures_stand_alone(picture: Path) -> None:
    """A picture in a page loads no script, font or other file."""
    text = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("viewBox")
    assert not re.search(r"<script|@import|@font-face|url\(\s*['\"]?http|href=\"http", text)


def test_the_recorded_terminal_has_the_commands_of_its_script() -> None:
    shown = terminal.PICTURE.read_text(encoding="utf-8").replace("&#160;", " ")
    assert re.findall(r">(servicectx [^<]*)<", shown) == [*terminal.COMMANDS]


def test_pictures_are_used() -> None:
    shown = {Path(link).name for page in PAGES for link in links(page)}
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [
        path.name for path in ASSETS.iterdir() if path.name not in shown and f"assets/{path.name}" not in settings
    ]
