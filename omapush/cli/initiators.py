"""`omapush initiators`: who may push, how much, what is under way; `omapush initiator`: its password."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from omapush import clock
from omapush.cli import lock_outs, terminal
from omapush.config import Config, Initiator
from omapush.errors import PushRefused
from omapush.pap_http import passwords
from omapush.push.limits import LIMITS
from omapush.store import client, limits
from omapush.store.limits import Usage

app = typer.Typer(
    help="Manage accounts of push initiators: hash a password, lift a lock-out.", no_args_is_help=True
)


@app.command(name="hash")
def hash_password() -> None:
    """Ask for a password, or read the first line of standard input; print what goes into password_hash."""
    print(passwords.hashed(_new_password()))


@app.command()
def unlock(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Lift the lock-out of an initiator after wrong passwords; same as `omapush unlock initiator/NAME`."""
    lock_outs.lift(terminal.settings(context), f"initiator/{name}")


def _new_password() -> str:
    if sys.stdin.isatty():
        entered: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        entered = sys.stdin.readline().rstrip("\r\n")
    if not 0 < len(entered) <= passwords.LONGEST_PASSWORD:
        raise PushRefused(f"a password has 1 to {passwords.LONGEST_PASSWORD} characters")
    return entered


def initiators(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """List push initiators with their limits, and how much of these is used."""
    settings = terminal.settings(context)
    found = _usage(settings)
    if as_json:
        everybody = settings.initiator.items()
        terminal.print_json([_as_dict(name, one, found.get(name)) for name, one in everybody])
        return
    listing = terminal.table(
        "initiator", "rate /s", "burst", "last minute", "outstanding", "of", "today", "of", "refused"
    )
    for name, one in settings.initiator.items():
        listing.add_row(name, *_row(one, found.get(name)))
    terminal.console().print(listing)


def _usage(settings: Config) -> dict[str, Usage]:
    limited = list(limits.limits_of(settings))
    if not limited:
        return {}
    store = client.connect(settings.redis)
    outstanding = limits.catch_up(store, limited)
    usage = limits.usage(store, limited, clock.now_ms())
    return {name: one._replace(outstanding=outstanding[name]) for name, one in usage.items()}


def _row(one: Initiator, usage: Usage | None) -> tuple[str, ...]:
    rate, burst = (f"{one.rate:g}", str(one.burst)) if one.rate else ("-", "-")
    most = [str(limit) if limit else "-" for limit in (one.outstanding, one.daily)]
    if usage is None:
        return rate, burst, "not counted", "not counted", most[0], "not counted", most[1], ""
    refused = ", ".join(f"{usage.refused[limit]} {limit}" for limit in LIMITS if usage.refused[limit])
    return (
        rate,
        burst,
        str(usage.last_minute),
        str(usage.outstanding),
        most[0],
        str(usage.today),
        most[1],
        refused or "none",
    )


def _as_dict(name: str, one: Initiator, usage: Usage | None) -> dict[str, Any]:
    return {
        "initiator": name,
        "applications": list(one.applications),
        "recipients": list(one.recipients),
        "limits": {
            "rate": one.rate,
            "burst": one.burst,
            "outstanding": one.outstanding,
            "daily": one.daily,
        },
        "usage": None
        if usage is None
        else {
            "last_minute": usage.last_minute,
            "outstanding": usage.outstanding,
            "today": usage.today,
            "refused": dict(usage.refused),
        },
    }
