"""`omapush locked`, `omapush unlock`: who may not try passwords for a while, and an end to that."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final

import typer

from omapush import clock
from omapush.cli import audit_note, terminal
from omapush.config import Config
from omapush.errors import PushRefused, shortened
from omapush.push import guessing
from omapush.push.guessing import Counter, LockOut
from omapush.store import client, guesses, lock_outs

_OPERATOR: Final = "operator/"
"How the lock-out names users of the console."
_HOW: Final = (
    "right would be initiator/NAME, operator/NAME or address/ADDRESS, as `omapush locked` lists them"
)


def locked(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """List who is locked out after wrong passwords, since when and until when."""
    found = lock_outs.standing(client.connect(terminal.settings(context).redis), clock.now_ms())
    if as_json:
        terminal.print_json([_as_dict(one) for one in found])
        return
    listing = terminal.table("LOCKED", "FROM", "WRONG", "SINCE", "UNTIL")
    for one in found:
        who, source = _whom(one.counter)
        listing.add_row(who, source, str(one.failures), clock.iso(one.since_ms), clock.iso(one.until_ms))
    terminal.console().print(listing)


def unlock(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="initiator/NAME, operator/NAME or address/ADDRESS.")
    ],
) -> None:
    """Lift the lock-out of an account or an address, and reset its count of wrong passwords."""
    lift(terminal.settings(context), what)


def lift(config: Config, what: str) -> None:
    """
    Lift all lock-outs of an account or an address, and say what was locked.

    Raises:
        PushRefused: there is no such account, or it is no address.
    """
    store, now_ms = client.connect(config.redis), clock.now_ms()
    standing = lock_outs.standing(store, now_ms)
    kind, _, name = what.partition("/")
    if kind == "address":
        counters: tuple[Counter, ...] = (Counter("address", _source(name)),)
    else:
        account = _account(config, kind, name)
        pairs = [one.counter.value for one in standing if one.counter.kind == "pair"]
        sources = [pair.removeprefix(f"{account} ") for pair in pairs if pair.startswith(f"{account} ")]
        counters = guessing.of_account(account, [*guesses.usual_of(store, account), *sources])
    audit_note.note(config, "unlock", what)
    lock_outs.lift(store, counters, now_ms)
    _say(what, [one for one in standing if one.counter in counters])


def _account(config: Config, kind: str, name: str) -> str:
    known = {"initiator": set(config.initiator), "operator": set(config.operator)}.get(kind)
    if known is None:
        raise PushRefused(f"{shortened(kind)}/{shortened(name)}: {_HOW}")
    if name not in known:
        raise PushRefused(f"{kind}/{shortened(name)}: the configuration has no such {kind}")
    return name if kind == "initiator" else _OPERATOR + name


def _source(address: str) -> str:
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        raise PushRefused(f"address/{shortened(address)}: no IP address; {_HOW}") from None
    return guessing.source_of(str(network.network_address))


def _say(what: str, was: list[LockOut]) -> None:
    if not was:
        print(f"{what}: nothing was locked; its wrong passwords are forgotten")
    for one in was:
        source = f" from {found}" if (found := _whom(one.counter)[1]) else ""
        print(f"{what}: unlocked{source}, was locked since {clock.iso(one.since_ms)}")


def _whom(counter: Counter) -> tuple[str, str]:
    """Who is locked, as `unlock` takes it, and where it is, in words."""
    if counter.kind == "address":
        return f"address/{counter.value}", ""
    account, _, source = counter.value.partition(" ")
    who = account if account.startswith(_OPERATOR) else f"initiator/{account}"
    return who, source or "where it does not usually come from"


def _as_dict(one: LockOut) -> dict[str, str | int]:
    who, source = _whom(one.counter)
    return {
        "locked": who,
        "kind": one.counter.kind,
        "from": source if one.counter.kind == "pair" else "",
        "wrong_passwords": one.failures,
        "since": clock.iso(one.since_ms),
        "until": clock.iso(one.until_ms),
    }
