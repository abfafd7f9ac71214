"""The documents as a site: links survive the move, and nothing is loaded from another host."""

from pathlib import Path

import pytest

from deploy import site
from tests.harness import markdown

WHERE = {"docs/a.md": "a.md", "docs/adr/1.md": "adr/1.md", "schema/keys.md": "schema/keys.md", "X.md": "x.md"}


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("docs/a.md", "[k](../schema/keys.md#push)", "[k](schema/keys.md#push)"),
        ("docs/adr/1.md", "[a](../a.md)", "[a](../a.md)"),
        ("schema/keys.md", "[a](../docs/a.md#x)", "[a](../a.md#x)"),
        ("X.md", "[k](schema/keys.md)", "[k](schema/keys.md)"),
        ("docs/a.md", "[code](../omapush/errors.py)", "code"),
        ("docs/a.md", "[here](#below)", "[here](#below)"),
        ("docs/a.md", "[out](https://home1.example/)", "[out](https://home1.example/)"),
    ],
)
def test_a_link_leads_where_it_led(page: str, link: str, there: str) -> None:
    assert site.moved(link, page, WHERE) == there


def test_every_page_is_laid_out_and_every_link_in_it_leads_somewhere(tmp_path: Path) -> None:
    site.lay_out(tmp_path)

    pages = sorted(tmp_path.rglob("*.md"))
    assert len(pages) == len(site.pages()) > 40
    for page in pages:
        for path, anchor in markdown.links(page.read_text()):
            target = page.parent / path if path else page
            assert target.exists(), f"{page}: {path}"
            assert not anchor or anchor in markdown.anchors(target.read_text()), f"{page}: {path}#{anchor}"


def test_every_page_can_be_reached_by_the_navigation(tmp_path: Path) -> None:
    site.lay_out(tmp_path)
    navigation = str(site.configuration(tmp_path, tmp_path / "site")["nav"])

    assert [page for page in site.pages().values() if f"'{page}'" not in navigation] == []
    assert all(f"'{name}.md'" in navigation for names in site.NAVIGATION.values() for name in names)


@pytest.mark.parametrize(
    ("html", "is_load"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<script src=//cdn.example/x.js></script>", True),
        ('<link href="https://fonts.example/css" rel="stylesheet">', True),
        ("@import url(https://fonts.example/css)", True),
        ("a{background:url('http://cdn.example/x.png')}", True),
        ('<img alt="" src="http://cdn.example/x.png">', True),
        ('<a href="https://home1.example/">a link</a>', False),
        ('<link rel="canonical" href="https://home1.example/">', False),
        ('<script src="assets/x.js"></script>', False),
        ("a{background:url(data:image/svg+xml;charset=utf-8,x)}", False),
    ],
)
def test_what_a_page_loads_is_told_from_where_it_links(html: str, is_load: bool, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html)

    assert bool(list(site.foreign_loads(tmp_path))) is is_load


@pytest.mark.skipif(not site.MKDOCS.exists(), reason="`make docs` installs what builds the site")
def test_the_site_is_built_with_every_link_right_and_loads_nothing(tmp_path: Path) -> None:
    built = site.build(tmp_path)

    assert "omapush.target" in (built / "install.html").read_text()
    assert list(site.foreign_loads(built)) == []
