"""The state of each recipient of a push and what happens next, in plain words."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush import clock
from omapush.config import Config
from omapush.push import replacing
from omapush.push.values import PENDING, Delivery, Recipient, Result, ticket
from omapush.store import outbox_views, pushes
from omapush.store.client import Store
from omapush.store.pushes import Known
from omapush.views.ladder import last
from omapush.views.words import span

_ON_CHANGE: Final = "until devices or subscriptions change"
"What the event log says of a push that is held for more than a time (kemi/holding.py)."


_AT_A_RELAY: Final = (
    "A relay took it (202) and does not say whether the device got it.",
    "Nothing: it is not sent again, and its state is unknown in the end.",
)


class _Shard(NamedTuple):
    """The user shard that a delivery is in."""

    number: int
    is_owned: bool
    "Some sender process may take from it now."


class Standing(NamedTuple):
    """One recipient of a push, now."""

    address: str
    aor: str
    state: str
    code: str
    where: str
    "Where its delivery is: ready, waiting, taken, later, held, nowhere."
    now: str
    "What has become of it, in a sentence."
    next: str
    "What will happen by itself, in a sentence."


def standings(config: Config, store: Store, known: Known, now_ms: int, first: int = 0) -> list[Standing]:
    """Return the state of all recipients that are here; `first` is the number of the first."""
    return [
        _standing(config, store, known, index, recipient, result, now_ms)
        for index, (recipient, result) in enumerate(zip(known.recipients, known.results, strict=True), first)
    ]


def _standing(
    config: Config, store: Store, known: Known, index: int, recipient: Recipient, result: Result, now_ms: int
) -> Standing:
    delivery = pushes.delivery_of(known.push, index, recipient, b"")
    where = outbox_views.whereabouts(store, delivery) if recipient.aor else "nowhere"
    if result.state != PENDING:
        now, following = _ended(known, result), _telling(config, known, index)
    else:
        if replacing.is_at_a_relay(result):
            now, following = _AT_A_RELAY
        else:
            shard = _shard_of(store, delivery, now_ms)
            now, following = _waiting(config, known, index, where, shard, now_ms)
        following += f" It expires at {clock.iso(known.push.deliver_before_ms)}."
    return Standing(recipient.address, recipient.aor, result.state, result.code, where, now, following)


def _shard_of(store: Store, delivery: Delivery, now_ms: int) -> _Shard:
    number = store.layout.ticket_shard(ticket(delivery))
    return _Shard(number, int(outbox_views.owners(store)[number].get("until_ms", 0)) > now_ms)


def _ended(known: Known, result: Result) -> str:
    took = span(result.at_ms - known.push.accepted_ms)
    tries = f", {result.attempts} tries" if result.attempts > 1 else ""
    return f"{result.state} (PAP {result.code}) {took} after acceptance{tries}: {result.desc}."


def _telling(config: Config, known: Known, index: int) -> str:
    if not known.push.notify_url:
        return "Nothing: the initiator did not ask to be told."
    event = last(known.events, index, "notified", "notify-failed", "notify-given-up")
    if event is None:
        return f"The initiator will be told at {known.push.notify_url}."
    if event.name == "notified":
        return f"Nothing: the initiator was told at {clock.iso(event.at_ms)}."
    if event.name == "notify-given-up":
        return f"Nothing: the initiator could not be told ({event.text}), and is not told any more."
    return (
        f"The initiator could not be told ({event.text}); tried again with growing waits "
        f"for {span(config.notify.give_up_s * 1000)}."
    )


def _waiting(
    config: Config, known: Known, index: int, where: str, shard: _Shard, now_ms: int
) -> tuple[str, str]:
    match where:
        case "taken":
            return (
                "A request is under way; its answer has not come yet.",
                f"The answer decides. Without one for {config.delivery.transaction_s} s it is sent again.",
            )
        case "later" if now_ms < known.push.deliver_after_ms:
            return (
                "It is scheduled: its deliver-after has not come yet.",
                f"It is sent at {clock.iso(known.push.deliver_after_ms)} by itself.",
            )
        case "later":
            return _put_off(known, index)
        case "held":
            return _held(known, index)
        case "waiting":
            return (
                "It waits behind an earlier push to the same user: one MESSAGE at a time (RFC 3428).",
                "It is sent when the earlier one has its answer.",
            )
        case "ready" if shard.is_owned:
            return (
                "It is next in the user's queue.",
                f"The sender process that owns user shard {shard.number} takes it at once.",
            )
        case "ready":
            return (
                f"It is next in the user's queue, but no sender process owns user shard {shard.number}.",
                "It is sent when Kamailio runs: omapush doctor tells what is wrong.",
            )
        case _:
            return (
                "It is stored, and not in the outbox (yet).",
                "The notifier hands over what a crash left behind; it has to run.",
            )


def _put_off(known: Known, index: int) -> tuple[str, str]:
    """A delivery whose next attempt has a time."""
    event = last(known.events, index, "retry")
    if event is not None:
        return f"The last try failed: {event.text}.", "It is tried again by itself at that time."
    return (
        "It was not sent yet: its next hop is left alone or has all requests that it may have, "
        "its device has not answered an earlier NOTIFY, or no key opens its content.",
        "It is looked at again within seconds; omapush doctor tells what is wrong.",
    )


def _held(known: Known, index: int) -> tuple[str, str]:
    """A delivery that waits for the user's devices or subscriptions, or that a session carries."""
    event = last(known.events, index, "held", "retry", "session", "sent", "reply")
    if event is None:
        why = "no device of the user has the application"
    elif event.name in ("session", "sent", "reply"):
        return f"A session carries it: {event.text}.", "It ends with the transfer."
    elif event.name == "retry":
        said = f"The last try found the device away: {event.text}."
        return said, "It is sent at once when the user registers, or at that time."
    elif _ON_CHANGE not in event.text:
        return f"It is held: {event.text}.", "It is looked at again at that time."
    else:
        why = event.text
    return (
        f"It is held: {why}.",
        "It is sent at once when the user's registration shows a device that has the application.",
    )
