"""
`make docs`: the documents as a site in build/site that can be read without a network.

Pages lie in several folders of the project and link to each other and to code. They are laid out in one
folder, where links between pages stay links, and what leads to other files becomes plain text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
MKDOCS: Final = ROOT / ".venv" / "docs" / "bin" / "mkdocs"
NAVIGATION: Final[Mapping[str, tuple[str, ...]]] = {
    "Install": ("install",),
    "Configure": ("configuration", "applications"),
    "Connect to an S-CSCF": (
        "connect",
        "registration",
        "subscriptions",
        "capabilities",
        "msrp",
        "indirection",
    ),
    "Operate": (
        "operate",
        "core",
        "redis",
        "overload",
        "cluster",
        "control",
        "console",
        "alarms",
        "records",
        "trace",
        "privacy",
    ),
    "Troubleshoot": ("troubleshoot",),
    "Security": ("security",),
    "Performance": ("performance", "soak", "capacity"),
    "Interop": ("interop",),
    "Push": ("pap", "json", "result-codes", "hosting"),
    "Receive": ("device", "receiver"),
    "Develop": ("contributing", "architecture", "conformance"),
}
"""Pages of docs/ in the order of reading; pages that are not named are put under Develop."""

_LINK: Final = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")
_LOADS: Final = re.compile(
    r"""(?:\bsrc=|<link\b(?![^>]*\brel=["']?(?:canonical|prev|next|alternate)\b)[^>]*\bhref=|url\(|@import\s+)"""
    r"""\s*["']?(?:https?:)?//[^"')\s>]*""",
    re.IGNORECASE,
)


def main() -> int:
    """Build the site; prints where it is."""
    into = ROOT / "build"
    print(build(into) / "index.html")
    return 0


def build(into: Path) -> Path:
    """
    Return the folder of the built site.

    Raises:
        CalledProcessError: a link leads nowhere, or mkdocs failed otherwise.
        ValueError: a page would load something from another host.
    """
    source = into / "site-source"
    lay_out(source)
    settings = into / "mkdocs.yml"
    settings.write_text(json.dumps(configuration(source, into / "site"), indent=1), encoding="utf-8")
    command = [str(MKDOCS), "build", "--quiet", "--strict", "--clean", "--config-file", str(settings)]
    subprocess.run(command, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    loads = list(foreign_loads(into / "site"))
    if loads:
        raise ValueError(f"pages load from other hosts: {', '.join(loads[:5])}")
    return into / "site"


def pages() -> dict[str, str]:
    """Return all pages, by where each is in the project: where it is in the site."""
    found = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for page in (ROOT / "docs").rglob("*.md"):
        found[page.relative_to(ROOT).as_posix()] = page.relative_to(ROOT / "docs").as_posix()
    for page in (ROOT / "schema").glob("*.md"):
        found[page.relative_to(ROOT).as_posix()] = f"schema/{page.name}"
    return dict(sorted(found.items()))


def lay_out(source: Path) -> None:
    """Write all pages below `source`, with links as they are there."""
    shutil.rmtree(source, ignore_errors=True)
    where = pages()
    for page, target in where.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        (source / target).parent.mkdir(parents=True, exist_ok=True)
        (source / target).write_text(moved(text, page, where), encoding="utf-8")


def moved(text: str, page: str, where: Mapping[str, str]) -> str:
    """Return the text of `page` with its links as they are where it goes."""
    folder = page.rpartition("/")[0]

    def link(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        leads_to = where.get(normpath(f"{folder}/{path}".lstrip("/")))
        if leads_to is None:
            return label
        here = where[page].rpartition("/")[0] or "."
        return f"[{label}]({relpath(leads_to, here)}{'#' if anchor else ''}{anchor})"

    return _LINK.sub(link, text)


def configuration(source: Path, site: Path) -> dict[str, Any]:
    """Return what mkdocs is told: no fonts and scripts of others, strict about links and anchors."""
    return {
        "site_name": "omapush",
        "site_description": "IMS application server for OMA Push using SIP",
        "docs_dir": str(source),
        "site_dir": str(site),
        "use_directory_urls": False,
        "theme": {
            "name": "material",
            "font": False,
            "features": ["navigation.tabs", "navigation.top", "toc.follow", "content.code.copy"],
        },
        "extra": {"generator": False},
        "plugins": ["search"],
        "markdown_extensions": [{"toc": {"permalink": True}}, "tables", "fenced_code", "attr_list"],
        "validation": {"links": {"not_found": "warn", "anchors": "warn", "absolute_links": "warn"}},
        "nav": list(_navigation(source)),
    }


def _navigation(source: Path) -> Iterator[dict[str, Any]]:
    there = {page.relative_to(source).as_posix() for page in source.rglob("*.md")}
    named = {f"{name}.md" for names in NAVIGATION.values() for name in names} | {"index.md", "changelog.md"}
    yield {"Start": ["index.md", "changelog.md"]}
    for title, names in NAVIGATION.items():
        listed: list[Any] = [f"{name}.md" for name in names if f"{name}.md" in there]
        if title == "Develop":
            listed += sorted(page for page in there - named if "/" not in page)
            listed.append({"Redis": sorted(page for page in there if page.startswith("schema/"))})
            listed.append({"Decisions": sorted(page for page in there if page.startswith("adr/"))})
        if listed:
            yield {title: listed}


def foreign_loads(site: Path) -> Iterator[str]:
    """Give each place where a page or style sheet would load something from another host; links are none."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css"):
            yield from (
                f"{file.name}: {found[0]}" for found in _LOADS.finditer(file.read_text(encoding="utf-8"))
            )


if __name__ == "__main__":
    raise SystemExit(main())
