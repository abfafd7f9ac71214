"""What all commands share: the configuration they were given, how they print, how they refuse."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omapush import config
from omapush.config import Config
from omapush.views.words import sip_status as sip_status
from omapush.views.words import span as span

FAILED: Final = 1
"Exit code: refused or failed, with the reason on standard error."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_TURNING: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"They change the direction in which the rest of a line is read (Unicode, Annex 9)."
_STEERING: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNING}]")
"These, and C0 and C1 without tab and line end."
_NOT_ESCAPED: Final = re.compile(f"[\x7f-\x9f{_TURNING}]")
"Those of them that JSON leaves as they are."
_PIPE_WIDTH: Final = 180
"Columns of a listing that does not go to a terminal."


def settings(context: typer.Context) -> Config:
    """Return the configuration that `--config` names, else the default one."""
    named: str | None = context.obj
    return config.load(named)


def console() -> Console:
    """Return where listings go; what users typed in is printed as it is, not taken for markup."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _Harmless(markup=False, highlight=False, emoji=False, width=width)


class _Harmless(Console):
    """
    Writes what initiators, devices and the core said as it is, but for characters that steer a terminal.

    A reason phrase, a User-Agent or an address may hold any of them, and could hide lines or type for whoever
    reads the listing.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(_STEERING.sub("?", text), **how)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    print(_NOT_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def fail(reason: str) -> typer.Exit:
    """Say why on standard error, in one line; raise what this returns."""
    print(f"omapush: {reason}", file=sys.stderr)
    return typer.Exit(FAILED)


def table(*columns: str) -> Table:
    """Return an empty table whose cells are cut nowhere: long ones fold."""
    listing = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        listing.add_column(name, overflow="fold")
    return listing


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Return names and values below each other, without a header; empty values are left out."""
    listing = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    listing.add_column(style="bold", no_wrap=True)
    listing.add_column(overflow="fold")
    for name, value in rows:
        if value:
            listing.add_row(name, value)
    return listing
