"""`omapush books`: does everything that was accepted have its result, or wait for it?"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from omapush import clock
from omapush.cli import terminal
from omapush.cli.moments import moment, ms
from omapush.store import books as stored
from omapush.store import client

_REST_S = 1.0
_EVER_MS = 4_102_444_800_000
"The year 2100."


def books(
    context: typer.Context,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from", parser=moment, metavar="ISO", help="Only pushes accepted at this time or later; UTC."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--to", parser=moment, metavar="ISO", help="Only pushes accepted before this time; UTC."
        ),
    ] = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Check that every accepted delivery has a result or is waiting; exit code 1 if one is missing."""
    config = terminal.settings(context)
    found = stored.balance(
        client.connect(config.redis),
        from_ms=ms(since, 0),
        to_ms=ms(until, _EVER_MS),
        forgotten_before_ms=lambda: clock.now_ms() - config.delivery.retention_s * 1000,
        rest=lambda: time.sleep(_REST_S),
    )
    if as_json:
        shown = [one._asdict() for one in found.shown]
        terminal.print_json({**found._asdict(), "balance": found.balance, "shown": shown})
    else:
        states = ", ".join(f"{number} {state}" for state, number in found.by_state.items())
        rows = [
            ("pushes", str(found.pushes)),
            ("accepted", f"{found.accepted} deliveries"),
            ("final", f"{found.final}{f': {states}' if states else ''}"),
            ("waiting", str(found.waiting)),
            ("in the outbox", f"{found.outbox}, of pushes of any time"),
        ]
        terminal.console().print(terminal.pairs(rows))
        listing = terminal.table("push", "recipient", "what is wrong")
        for one in found.shown:
            listing.add_row(one.ref, "" if one.recipient < 0 else str(one.recipient), one.text)
        if found.shown:
            terminal.console().print(listing)
    if not found.balance:
        raise terminal.fail(f"{found.wrong} entries do not balance")
