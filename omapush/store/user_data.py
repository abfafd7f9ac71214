"""
Everything that Redis holds about one user, to be exported and erased (docs/privacy.md).

Each step is limited in size and may be repeated: an erasure that was interrupted is finished by the next one.
None of this is on the way of a push; it looks at all pushes, a page at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from omapush.errors import PushError
from omapush.protocol import wappush_address
from omapush.protocol.sip_uri import address_of_record
from omapush.push.hosted import HostedPush
from omapush.push.values import Delivery, Push, Recipient, Result, target
from omapush.store import (
    codec,
    event_log,
    keys,
    lists,
    outbox,
    push_pages,
    registrations,
    sealing,
    subscriptions,
)
from omapush.store.client import Call, Store, ask_all, call, store_errors
from omapush.store.event_log import Line

_SCANNED: Final = 1_000
"Number of names that Redis looks at in one step of a scan."
_BY_TARGET: Final = ("cap", "refer", "session", "turns", "watch", "hosted-seen", "user-pushes")
"Keys of a user shard whose names continue with the target."


@dataclass(frozen=True, slots=True)
class User:
    """One user, with all names that are known to mean the same."""

    identities: tuple[str, ...]
    """
    Addresses of record: the one that was asked for, the sip identity of a tel identity, and tel identities of
    a sip identity.
    """
    aliases: tuple[str, ...] = ()
    "Those of them for which Redis has an alias."

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of their queues in the outbox."""
        return tuple(target(aor) for aor in self.identities)


@dataclass(frozen=True, slots=True)
class Part:
    """One recipient of one push."""

    push: Push
    index: int
    recipient: Recipient
    result: Result
    is_final: bool
    is_owed: bool
    "The initiator has not been notified of the result yet."
    lines: tuple[Line, ...] = field(default=(), repr=False)
    "Its lines of the event log."


def known_as(store: Store, aor: str) -> User:
    """Return the user that an address of record belongs to, by looking at all aliases."""
    (sip,) = registrations.sip_identities(store, [aor])
    identities, aliases = dict.fromkeys((aor, sip)), []
    for name in _names(store, "alias:*"):
        value = ask_all(store, "alias", [("GET", name)])[0]
        tel = name.split("}:", 1)[1]
        if value is not None and (value.decode() == sip or tel == aor):
            aliases.append(tel)
            identities[tel] = None
    return User(tuple(identities), tuple(aliases))


def _names(store: Store, pattern: str) -> Iterator[str]:
    with store_errors("scan"):
        for name in store.db.scan_iter(match=pattern, count=_SCANNED):
            yield name.decode()


def keys_by_target(store: Store, user: User) -> list[str]:
    """Return the names of keys that belong to this user only: capabilities, watches, sessions and so on."""
    found: list[str] = []
    for aor, name in zip(user.identities, user.targets, strict=True):
        shard = store.layout.user_shard(aor)
        for one in _names(store, f"*:{{u{shard}}}:{name}*"):
            if one.partition(":")[0] in _BY_TARGET:
                found.append(one)
    return sorted(set(found))


def is_live(store: Store, names: Sequence[str]) -> list[bool]:
    """Tell for each key whether it belongs to something under way, which has not ended yet."""
    return [int(ttl) == -1 for ttl in ask_all(store, "is live", (("TTL", name) for name in names))]


def delete(store: Store, names: Iterable[str]) -> int:
    """Delete keys, each in a command of its own."""
    return sum(ask_all(store, "delete", (("UNLINK", name) for name in names)))


def deliveries(store: Store, user: User) -> dict[str, Delivery | None]:
    """Return the deliveries that wait for the user, by ticket; None for records that cannot be read."""
    tickets = [
        place
        for aor, name in zip(user.identities, user.targets, strict=True)
        for place in _fields(store, keys.outbox(store.layout.user_shard(aor), "delivery"), f"{name}*")
    ]
    return dict(zip(tickets, outbox.read(store, tickets), strict=True))


def _fields(store: Store, key: str, pattern: str) -> list[str]:
    with store_errors("scan fields"):
        found: Any = store.db.hscan_iter(key, match=pattern, count=_SCANNED)
        return [name.decode() for name, _ in found]


def forget_keys(store: Store, user: User) -> int:
    """Forget which push with a replace key is the newest for the user."""
    gone = 0
    for aor, name in zip(user.identities, user.targets, strict=True):
        shard = store.layout.user_shard(aor)
        key, aging = keys.outbox(shard, "newest"), keys.outbox(shard, "aging")
        for one in _fields(store, key, f"{name}*"):
            gone += ask_all(store, "forget", [("HDEL", key, one), ("ZREM", aging, one)])[0]
    return gone


def subscription_ids(store: Store, user: User) -> list[str]:
    """Return the ids of the user's subscriptions."""
    return [one.id for aor in user.identities for one in subscriptions.of_user(store, aor)]


def in_lists(store: Store, user: User) -> list[tuple[str, str, str]]:
    """Return (initiator, list, member) of each distribution list that the user is in."""
    return [(*where, aor) for aor in user.identities for where in lists.containing(store, aor)]


def leave_list(store: Store, initiator: str, name: str, member: str) -> None:
    """Remove the user from a distribution list."""
    ask_all(store, "leave list", [("ZREM", keys.list_members(initiator, name), member)])


def forget_watches(store: Store, user: User) -> None:
    """Forget that watches of the user are due."""
    for aor in user.identities:
        key = keys.watches_due(store.layout.user_shard(aor))
        with store_errors("watches due"):
            found: Any = store.db.zscan_iter(key, match=f"*{_literal(aor)}", count=_SCANNED)
            members = [name.decode() for name, _ in found]
        ours = [name for name in members if name == aor or name.endswith(f" {aor}")]
        ask_all(store, "watches due", (("ZREM", key, name) for name in ours))


def _literal(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)


# Pushes ------------------------------------------------------------------------------------------


def parts(store: Store, user: User) -> Iterator[Part]:
    """Yield the user's part of every push that Redis remembers, with its lines of the event log."""
    ours = set(user.identities)
    for name in _names(store, "push:{p*"):
        ref = name.rpartition(":")[2]
        record = ask_all(store, "push", [("HGET", name, "record")])[0]
        if record is None:
            continue
        push = codec.push(record)
        for page in push_pages.read_all(store, ref):
            for offset, recipient in enumerate(page.recipients):
                if _meant(recipient) in ours or recipient.address in ours:
                    yield _part(store, push, page, offset)


def _meant(recipient: Recipient) -> str:
    """The identity of a recipient; one that was refused, such as a second address of a user, has none."""
    if recipient.aor:
        return recipient.aor
    try:
        return address_of_record(wappush_address.recipient(recipient.address), field="address")
    except PushError:
        return ""


def _part(store: Store, push: Push, page: push_pages.Page, offset: int) -> Part:
    index = page.first + offset
    shard = store.layout.push_shard(push.ref)
    owed = ask_all(store, "owed", [("ZSCORE", keys.notify(shard), f"{push.ref}.{index}")])[0]
    return Part(
        push,
        index,
        page.recipients[offset],
        page.results[offset],
        page.final[offset],
        owed is not None,
        tuple(line for line in event_log.lines(store, push.ref) if line.event.recipient == index),
    )


def erase_part(store: Store, part: Part) -> bool:
    """Reduce a recipient to state and code; False: its result is not final."""
    ref, index = part.push.ref, part.index
    shard = store.layout.push_shard(ref)
    blank = codec.encode(Recipient("erased", "")), codec.encode(part.result._replace(desc="erased"))
    lines = [word for line in part.lines for word in _blank(line)]
    names = [keys.push(shard, ref), keys.push_log(shard, ref)]
    return bool(call(store, Call("omapush_erase_recipient", names, [index, *blank, *lines])))


def _blank(line: Line) -> tuple[str | int, bytes]:
    return line.place, codec.encode(line.event._replace(text="erased"))


def mentions(store: Store, user: User) -> Iterator[tuple[str, Line]]:
    """Give (push, line) of what event logs, mostly of pushes to subscribers, say of the user."""
    for prefix, read in (("push", event_log.with_push), ("log", event_log.in_list)):
        for name in _names(store, f"{prefix}:{{p*"):
            ref = name.rpartition(":")[2]
            for line in read(store, ref):
                if any(aor in line.event.text for aor in user.identities):
                    yield ref, line


def erase_mention(store: Store, ref: str, line: Line) -> None:
    """Remove the text of one line of an event log."""
    shard = store.layout.push_shard(ref)
    names = [keys.push(shard, ref), keys.push_log(shard, ref)]
    call(store, Call("omapush_erase_recipient", names, ["", "", "", *_blank(line)]))


# Pushes for applications behind this server ------------------------------------------------------


def hosted(store: Store, user: User) -> Iterator[tuple[str, HostedPush]]:
    """Give the pushes to and from the user that wait for back ends, each with the key that holds it."""
    for name in _names(store, "hosted-push:*"):
        with store_errors("scan hosted"):
            found: Any = store.db.hscan_iter(name, count=_SCANNED)
            records = [record for _, record in found]
        for record in records:
            with suppress(codec.BrokenRecord):
                push = sealing.hosted_push(store.ring, record)
                if _is_of(user, push.recipient, push.sender):
                    yield name, push


def erase_hosted(store: Store, key: str, push: HostedPush) -> None:
    """Delete a push that waits for a back end."""
    parts = {
        part: key.replace("hosted-push", f"hosted-{part}", 1) for part in ("state", "due", "open", "failed")
    }
    ask_all(
        store,
        "erase hosted",
        [
            ("ZREM", parts["due"], push.id),
            ("ZREM", parts["failed"], push.id),
            ("HDEL", parts["open"], push.id),
            ("HDEL", parts["state"], push.id),
            ("HDEL", key, push.id),
        ],
    )


def streamed(store: Store, user: User) -> Iterator[tuple[str, str]]:
    """Give (stream, entry) of the pushes to and from the user that back ends have not read."""
    for name in _names(store, "hosted-stream:*"):
        after = "-"
        while True:
            with store_errors("read stream"):
                entries: Any = store.db.xrange(name, min=after, count=_SCANNED)
            for entry, fields in entries:
                if _is_of(user, fields.get(b"recipient", b"").decode(), fields.get(b"sender", b"").decode()):
                    yield name, entry.decode()
            if len(entries) < _SCANNED:
                break
            after = f"({entries[-1][0].decode()}"


def erase_streamed(store: Store, stream: str, entry: str) -> None:
    """Remove an entry from a stream."""
    ask_all(store, "erase entry", [("XDEL", stream, entry)])


def _is_of(user: User, *addresses: str) -> bool:
    return any(address in user.identities for address in addresses)
