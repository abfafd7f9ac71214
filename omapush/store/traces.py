"""What operators want traced, and the SIP messages that were kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from omapush.errors import PushRefused
from omapush.push.tracing import MOST_SWITCHES, Kept, Switches, in_order
from omapush.store import codec, keys
from omapush.store.client import Store, ask_all, store_errors

SHARE: Final = "share"
_PUSH: Final = "push:"
_USER: Final = "user:"


class Switch(NamedTuple):
    """One thing that an operator asked for."""

    name: str
    "`share`, `push:REF` or `user:AOR`."
    value: str
    "The percentage, if it is the share; otherwise empty."
    until_ms: int
    "When it is switched off by itself."


def push_switch(ref: str) -> str:
    """Return the name of the switch of one push."""
    return f"{_PUSH}{ref}"


def user_switch(aor: str) -> str:
    """Return the name of the switch of one user."""
    return f"{_USER}{aor}"


def switch_on(store: Store, name: str, *, until_ms: int, now_ms: int, value: str = "") -> None:
    """
    Trace something until then.

    Raises:
        PushRefused: as much as possible is traced already.
    """
    known = switches(store, now_ms)
    if len(known) >= MOST_SWITCHES and name not in {one.name for one in known}:
        raise PushRefused(f"{MOST_SWITCHES} pushes and users are traced already; switch some of them off")
    ask_all(store, "trace on", [("HSET", keys.TRACING, name, f"{until_ms} {value}".rstrip())])


def switch_off(store: Store, names: Iterable[str]) -> int:
    """Stop tracing things; returns how many of them were traced."""
    return sum(ask_all(store, "trace off", (("HDEL", keys.TRACING, name) for name in names)))


def switches(store: Store, now_ms: int) -> list[Switch]:
    """Return what is traced, in order of name; expired entries are deleted."""
    with store_errors("tracing"):
        found: Any = store.db.hgetall(keys.TRACING)
    known = [_switch(name.decode(), text.decode()) for name, text in found.items()]
    if over := [one.name for one in known if one.until_ms <= now_ms]:
        switch_off(store, over)
    return sorted(one for one in known if one.until_ms > now_ms)


def _switch(name: str, text: str) -> Switch:
    until, _, value = text.partition(" ")
    return Switch(name, value, int(until))


def wanted(store: Store, now_ms: int, *, share: float) -> Switches:
    """
    Return all that is traced as the rules need it; `share` is used unless an operator has set another one.
    """
    known = switches(store, now_ms)
    shares = [float(one.value) for one in known if one.name == SHARE]
    return Switches(
        shares[0] if shares else share,
        frozenset(one.name.removeprefix(_PUSH) for one in known if one.name.startswith(_PUSH)),
        frozenset(one.name.removeprefix(_USER) for one in known if one.name.startswith(_USER)),
    )


def keep(store: Store, messages: Iterable[tuple[str, Kept]], *, most: int, keep_s: int) -> None:
    """Store messages, each with the push it belongs to; the `most` newest of each push are kept."""
    with store_errors("keep trace"):
        pipe = store.db.pipeline(transaction=False)
        for ref, one in messages:
            name = keys.trace(store.layout.push_shard(ref), ref)
            sealed = store.ring.seal(ref, codec.encode(one.message))
            pipe.xadd(name, {"recipient": one.recipient, "message": sealed}, maxlen=most, approximate=False)
            pipe.expire(name, keep_s)
        pipe.execute()


def read(store: Store, ref: str) -> list[Kept]:
    """Return the messages of a push, in order of time."""
    with store_errors("read trace"):
        entries: Any = store.db.xrange(keys.trace(store.layout.push_shard(ref), ref))
    return in_order(
        Kept(int(fields[b"recipient"]), codec.captured(store.ring.open(ref, fields[b"message"])))
        for _, fields in entries
    )


def forget(store: Store, ref: str, recipient: int) -> int:
    """Delete the messages of one recipient of a push; returns how many there were."""
    with store_errors("read trace"):
        name = keys.trace(store.layout.push_shard(ref), ref)
        entries: Any = store.db.xrange(name)
    ours = [entry for entry, fields in entries if int(fields[b"recipient"]) == recipient]
    return sum(ask_all(store, "forget trace", (("XDEL", name, entry.decode()) for entry in ours)))
