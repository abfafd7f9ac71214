"""`omapush push explain`: what happened to a push, and why; of one to many, first what came of how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.table import Table

from omapush import clock
from omapush.cli import audit_note, ladder, terminal, trace_view
from omapush.cli.push_options import Name
from omapush.cli.push_view import as_dict, reached, summary
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.push.values import Event
from omapush.store import client, fanouts, traces
from omapush.store.client import Store
from omapush.store.pushes import Known
from omapush.views import explanation
from omapush.views.explanation import Standing
from omapush.views.push_lookup import find

PushId = Annotated[str, typer.Argument(metavar="ID", help="Push-id, or our reference of 20 digits.")]

_FEW: Final = 20
"Recipients that are shown one by one, and lines of the event log for each of so many."
_DELIVERED: Final = "delivered"


def explain(
    context: typer.Context,
    push: PushId,
    initiator: Name = None,
    recipient: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Only this recipient: its address or its number.")
    ] = "",
    with_trace: Annotated[
        bool, typer.Option("--trace", help="Include the SIP messages of a traced push, one line for each.")
    ] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Show what happened to a push, step by step, where it is now, and what comes next."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    known = find(store, config, push, initiator)
    first = 0
    if recipient:
        first = number_of(known, recipient)
        known = part_of(known, first)
    if with_trace:
        audit_note.note(config, "trace-read", known.push.ref)
    standings = explanation.standings(config, store, known, clock.now_ms(), first)
    if as_json:
        shown = {**as_dict(known), "standings": [standing._asdict() for standing in standings]}
        if with_trace:
            shown["trace"] = [trace_view.as_dict(one) for one in traces.read(store, known.push.ref)]
        terminal.print_json(shown)
    else:
        _print(config, store, known, standings, with_trace=with_trace, first=first)


def number_of(known: Known, wanted: str) -> int:
    """
    Return which recipient of a push is meant, by address, identity or number.

    Raises:
        PushRefused: none is.
    """
    for number, one in enumerate(known.recipients):
        if wanted in (one.address, one.aor, str(number)):
            return number
    raise PushRefused(f"--recipient: {wanted} is none of the {len(known.recipients)} recipients of this push")


def part_of(known: Known, number: int) -> Known:
    """Return what of a push concerns one recipient, and all of them together."""
    return known._replace(
        recipients=known.recipients[number : number + 1],
        results=known.results[number : number + 1],
        events=tuple(event for event in known.events if event.recipient in (-1, number)),
    )


def _print(
    config: Config, store: Store, known: Known, standings: Sequence[Standing], *, with_trace: bool, first: int
) -> None:
    console, is_many = terminal.console(), len(standings) > _FEW
    console.print(summary(known))
    console.print()
    if is_many:
        console.print(numbers(standings))
        console.print()
    events = _first_lines(known.events) if is_many else known.events
    for line in ladder.draw(known._replace(events=events), width=console.width):
        console.print(line, soft_wrap=True)
    if more := len(known.events) - len(events):
        console.print(f"... and {more} lines more: --recipient ADDRESS shows those of one, --json all")
    if with_trace:
        kept = traces.read(store, known.push.ref)
        console.print()
        for line in trace_view.first_lines(kept) if kept else ("No SIP message was kept of it.",):
            console.print(line, soft_wrap=True)
    reach = fanouts.reach(store, known)
    if reach is not None:
        console.print()
        console.print(reached(known, reach))
    failed = [each for each in enumerate(standings, first) if each[1].state != _DELIVERED]
    for number, one in failed[:_FEW] if is_many else enumerate(standings, first):
        whom = f"[{number}] {one.address}" if len(standings) > 1 else one.address
        console.print(f"\n{whom}\n  now:  {one.now}\n  next: {one.next}", soft_wrap=True)
    if is_many and len(failed) > _FEW:
        console.print(f"\n... and {len(failed) - _FEW} more that were not delivered: omapush push show")


def _first_lines(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Of a long log its first lines, as many as fit in a few screens."""
    return events[: 3 * _FEW]


def numbers(standings: Sequence[Standing]) -> Table:
    """Return how many recipients came to what, the most first; what is pending by where it is."""
    counted = Counter((one.state, one.code, one.where if one.state == "pending" else "") for one in standings)
    listing = terminal.table("RECIPIENTS", "STATE", "CODE", "WHERE")
    for (state, code, where), number in counted.most_common():
        listing.add_row(str(number), state, code, where)
    return listing
