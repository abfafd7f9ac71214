"""`omapush audit`: read the record of who did what, and prove that nobody changed it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from omapush import clock
from omapush.audit.chain import entry_of
from omapush.audit.journal import Journal, journal_for
from omapush.cli import moments, terminal
from omapush.config import Config
from omapush.errors import PushRefused

app = typer.Typer(help="The record of who did what (audit.folder).", no_args_is_help=True)


@app.command()
def verify(
    context: typer.Context,
    head: Annotated[
        str, typer.Option(metavar="HASH", help="A hash that was noted earlier; the record has to contain it.")
    ] = "",
    begun_earlier: Annotated[
        bool,
        typer.Option(
            "--begun-earlier", help="The first files have been archived; begin with those that are here."
        ),
    ] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Check every entry; exit code 1 if one was changed, left out or moved."""
    journal = _journal(terminal.settings(context))
    verdict = journal.verify(begun_earlier=begun_earlier)
    problem = verdict.broken
    if not problem and head and not _has(journal, head):
        problem = "the head that was noted is not in the record: entries were cut off or written anew"
    if as_json:
        facts = {"entries": verdict.entries, "last": verdict.head.seq, "head": verdict.head.hash}
        terminal.print_json({**facts, "problem": problem})
    elif not problem:
        print(f"{verdict.entries} entries hold; head {verdict.head.hash}")
    if problem:
        raise terminal.fail(f"after {verdict.entries} sound entries: {problem}")


@app.command()
def show(
    context: typer.Context,
    who: Annotated[str, typer.Option(help="Only entries by this one, such as initiator/acme.")] = "",
    did: Annotated[str, typer.Option(help="Only entries of this kind, such as submit.")] = "",
    what: Annotated[str, typer.Option(help="Only entries about this, such as a push-id.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(parser=moments.moment, metavar="ISO", help="Only entries from this time on; UTC."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most this many, the latest.")] = 100,
    as_json: terminal.AsJson = False,
) -> None:
    """List entries, the latest last."""
    wanted = {"who": who, "did": did, "what": what}
    first = clock.iso(moments.ms(since, 0))
    found: list[Mapping[str, Any]] = []
    for text in _journal(terminal.settings(context)).lines():
        entry = entry_of(text)
        if entry is None or entry["at"] < first:
            continue
        if all(not value or entry[name] == value for name, value in wanted.items()):
            found.append(entry)
            del found[:-most]
    if as_json:
        terminal.print_json(found)
        return
    listing = terminal.table("number", "time", "who", "from", "did", "what", "result", "more")
    for entry in found:
        more = ", ".join(f"{name} {value}" for name, value in entry["more"].items())
        facts = [entry[name] for name in ("at", "who", "from", "did", "what", "result")]
        listing.add_row(str(entry["seq"]), *facts, more)
    terminal.console().print(listing)


def _journal(config: Config) -> Journal:
    journal = journal_for(config.audit.folder, config.audit.key_file)
    if journal is None:
        raise PushRefused("audit.folder: empty, so no audit record is kept")
    return journal


def _has(journal: Journal, head: str) -> bool:
    return any((entry_of(text) or {}).get("hash") == head for text in journal.lines())
