"""What documents say: their code, their tables, their links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "schema").glob("*.md")),
)
"""Documents that are held against the code."""

_FENCED = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    .*$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)


def spans(text: str) -> list[str]:
    """Code within sentences and tables."""
    return _SPAN.findall(_FENCED.sub("", text))


def code(text: str) -> list[str]:
    """All code: what stands in a block, line by line, and what stands in sentences."""
    blocks = [line for block in _FENCED.findall(text) for line in block.splitlines()]
    return [*blocks, *(line.strip() for line in _INDENTED.findall(_FENCED.sub("", text))), *spans(text)]


def links(text: str) -> list[tuple[str, str]]:
    """Links to other files and places of this project, each as (path, anchor)."""
    found = [target for target in _LINK.findall(text) if "://" not in target]
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in found)]


def anchors(text: str) -> set[str]:
    """Names under which the headings of a document can be linked to."""
    words = (re.sub(r"[^a-z0-9 _-]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {word.strip().replace(" ", "-") for word in words}


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    parts = re.split(r"^#{1,6} (.*)$", text, flags=re.MULTILINE)
    return parts[parts.index(heading) + 1]


def rows(text: str) -> Iterator[list[str]]:
    """Rows of all tables in a text, without their heads."""
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        else:
            yield from table[2:]
            table = []
