"""`omapush push list`: the newest pushes, of all or to one user, each with what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import typer

from omapush import clock
from omapush.cli import moments, terminal
from omapush.cli.push_options import Name
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.push.acceptance import application_of
from omapush.push.user_named import user_named
from omapush.push.values import Result
from omapush.store import client
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Summary
from omapush.views import push_search
from omapush.views.push_search import FOREVER_MS, PushListState, Wanted

_MOST: Final = 1_000


def listing(
    context: typer.Context,
    user: Annotated[
        str,
        typer.Option(
            "--user", metavar="ADDRESS", help="Only pushes to this recipient; any form of an address."
        ),
    ] = "",
    initiator: Name = None,
    application: Annotated[
        str, typer.Option("--app", metavar="ARI", help="Only pushes of this application.")
    ] = "",
    state: Annotated[
        PushListState | None,
        typer.Option(help="Only pushes in this state; finished: all recipients have a result."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moments.moment, metavar="ISO", help="Only pushes accepted at this time or later; UTC."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moments.moment, metavar="ISO", help="Only pushes accepted until this time; UTC."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, max=_MOST, metavar="N", help="Show at most this many.")
    ] = 20,
    as_json: terminal.AsJson = False,
) -> None:
    """List the latest pushes, to all users or one; `omapush push explain` shows more about each."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    wanted = Wanted(
        state,
        application_of(application) if application else "",
        user_named(user, "--user") if user else "",
        moments.ms(since, 0),
        moments.ms(until, FOREVER_MS),
    )
    found = _found(store, _initiators(config, initiator), wanted, most)
    rows = [(one, push_search.result_in(store, one, wanted.recipient)) for one in found]
    if as_json:
        terminal.print_json([as_dict(one, result) for one, result in rows])
        return
    if not rows:
        kept = terminal.span(config.delivery.retention_s * 1000)
        print(f"No such push is known: none was accepted, or it ended more than {kept} ago.")
        return
    table = terminal.table("ACCEPTED", "PUSH", "INITIATOR", "APPLICATION", "TO", "STATE", "AFTER", "WHY")
    for one, result in rows:
        table.add_row(*_row(one, result))
    terminal.console().print(table)


def _initiators(config: Config, asked: str | None) -> list[str]:
    if asked is not None and asked not in config.initiator:
        raise PushRefused(f"--initiator: {asked} is not in the configuration")
    return [name for name in config.initiator if asked in (None, name)]


def _found(store: Store, initiators: list[str], wanted: Wanted, most: int) -> list[Summary]:
    """The pushes, over as many steps of the search as it takes."""
    found: list[Summary] = []
    before: Place | None = None
    while len(found) < most:
        page = push_search.search(store, initiators, wanted, before, most - len(found))
        found += page.pushes
        before = page.further
        if before is None:
            break
    return found


def _row(one: Summary, result: Result | None) -> tuple[str, ...]:
    push = one.push
    to = f"{one.recipients} recipients" if one.recipients != 1 else "1 recipient"
    start = (
        clock.iso(push.accepted_ms),
        push.push_id,
        push.initiator,
        push.application,
        "subscribers" if one.subscribers_state else to,
    )
    if result is None:
        open_ = f", {one.open} open" if one.open else ""
        return *start, f"{push_search.state_of(one)}{open_}", "-", ""
    why = "" if result.state == "delivered" else f"{result.code} {result.desc}"
    return *start, result.state, terminal.span(result.at_ms - push.accepted_ms), why


def as_dict(one: Summary, result: Result | None) -> dict[str, Any]:
    """Return a push of the list as `--json` shows it; `result`: of the one recipient that it is about."""
    push = one.push
    return {
        "push_id": push.push_id,
        "ref": push.ref,
        "initiator": push.initiator,
        "application": push.application,
        "accepted": clock.iso(push.accepted_ms),
        "recipients": one.recipients,
        "open": one.open,
        "state": push_search.state_of(one),
        "result": None if result is None else {**result._asdict(), "at": clock.iso(result.at_ms)},
    }
