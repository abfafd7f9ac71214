"""`omapush alarms`: what is wrong now, what was, and what each alarm means."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omapush import clock
from omapush.cli import terminal
from omapush.push.alarms import CATALOGUE, Alarm, AlarmChange
from omapush.store import alarms, client

app = typer.Typer(help="Show what is wrong now: `list`, `history`, `catalogue`.", invoke_without_command=True)


@app.callback()
def standing(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """List the active alarms; the exit code is 0 even if there are some."""
    if context.invoked_subcommand is None:
        _list(context, as_json=as_json)


@app.command("list")
def list_standing(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """List the active alarms, the most severe first."""
    _list(context, as_json=as_json)


def _list(context: typer.Context, *, as_json: bool) -> None:
    store = client.connect(terminal.settings(context).redis)
    found = alarms.standing(store, clock.now_ms())
    if as_json:
        terminal.print_json([_as_dict(one) for one in found])
        return
    if not found:
        print("no alarm stands")
        return
    listing = terminal.table("severity", "alarm", "about", "since", "found")
    for one in found:
        listing.add_row(one.severity, one.name, one.subject, clock.iso(one.raised_ms), _found(one))
    terminal.console().print(listing)


def _found(one: Alarm) -> str:
    kind = one.kind
    return f"{one.text}\neffect: {kind.effect}\naction: {kind.action}" if kind else one.text


@app.command()
def history(
    context: typer.Context,
    most: Annotated[
        int, typer.Option(min=1, max=alarms.MOST_CHANGES, help="Show at most this many, the latest.")
    ] = 50,
    as_json: terminal.AsJson = False,
) -> None:
    """List the alarms that were raised and cleared, the latest first."""
    found = alarms.history(client.connect(terminal.settings(context).redis), most)
    if as_json:
        terminal.print_json([_change(one) for one in found])
        return
    listing = terminal.table("time", "", "severity", "alarm", "about", "found")
    for one in found:
        alarm, what = one.alarm, "raised" if one.is_raised else "cleared"
        listing.add_row(clock.iso(one.at_ms), what, alarm.severity, alarm.name, alarm.subject, alarm.text)
    terminal.console().print(listing)


@app.command()
def catalogue(as_json: terminal.AsJson = False) -> None:
    """List every kind of alarm with its cause, effect and action."""
    if as_json:
        terminal.print_json([kind._asdict() for kind in CATALOGUE.values()])
        return
    listing = terminal.table("severity", "alarm", "about", "cause, effect, action")
    for kind in CATALOGUE.values():
        listing.add_row(kind.severity, kind.name, kind.about, f"{kind.cause}\n{kind.effect}\n{kind.action}")
    terminal.console().print(listing)


def _as_dict(one: Alarm) -> dict[str, Any]:
    kind = one.kind
    return {
        "name": one.name,
        "subject": one.subject,
        "severity": one.severity,
        "raised": clock.iso(one.raised_ms),
        "seen": clock.iso(one.seen_ms),
        "found": one.text,
        "cause": kind.cause if kind else "",
        "effect": kind.effect if kind else "",
        "action": kind.action if kind else "",
    }


def _change(one: AlarmChange) -> dict[str, Any]:
    what = "raised" if one.is_raised else "cleared"
    return {"at": clock.iso(one.at_ms), "change": what, **_as_dict(one.alarm)}
