"""Records <-> MessagePack bytes; the layouts are in schema/records.md."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from omapush.errors import PushError
from omapush.push.alarm_rules import NodeSeen
from omapush.push.alarms import Alarm, AlarmChange
from omapush.push.capabilities import Capabilities
from omapush.push.fan_out import FanOut
from omapush.push.hosted import HostedPush, HostedState
from omapush.push.media_worker import MediaWorker
from omapush.push.nodes import Sign
from omapush.push.profile_document import Profile
from omapush.push.referral import Referral, Told
from omapush.push.registration import Registration
from omapush.push.session import Session
from omapush.push.session_answers import Said
from omapush.push.session_requests import Asked
from omapush.push.subscribe import Wanted
from omapush.push.subscription import Subscription
from omapush.push.tracing import Captured
from omapush.push.values import Delivery, Event, Push, Recipient, Result
from omapush.push.watch import Watch
from omapush.push.watch_rules import FinalAnswer, Notified
from omapush.store.later_records import known_part

_T = TypeVar("_T")
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[type[Any], msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        Alarm,
        AlarmChange,
        Asked,
        Capabilities,
        Captured,
        Delivery,
        Event,
        FanOut,
        FinalAnswer,
        HostedPush,
        HostedState,
        MediaWorker,
        NodeSeen,
        Notified,
        Profile,
        Push,
        Recipient,
        Referral,
        Registration,
        Result,
        Said,
        Session,
        Sign,
        Subscription,
        Told,
        Wanted,
        Watch,
    )
}


_HOSTED: Final = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], HostedPush])


class BrokenRecord(PushError):
    """Bytes in Redis that are none of our records: a defect, or another writer."""


def encode(
    record: Alarm
    | AlarmChange
    | Asked
    | Capabilities
    | Captured
    | Delivery
    | Event
    | FanOut
    | FinalAnswer
    | HostedPush
    | HostedState
    | MediaWorker
    | NodeSeen
    | Notified
    | Profile
    | Push
    | Recipient
    | Referral
    | Registration
    | Result
    | Said
    | Session
    | Sign
    | Subscription
    | Told
    | Wanted
    | Watch,
) -> bytes:
    """Return the record as one MessagePack array."""
    return _ENCODER.encode(record)


def alarm(data: bytes) -> Alarm:
    """Read an alarm that stands."""
    return _decode(Alarm, data)


def alarm_change(data: bytes) -> AlarmChange:
    """Read that an alarm was raised or cleared."""
    return _decode(AlarmChange, data)


def node_seen(data: bytes) -> NodeSeen:
    """Read what a notifier sees of its node."""
    return _decode(NodeSeen, data)


def capabilities(data: bytes) -> Capabilities:
    """Read what is known of a user's devices."""
    return _decode(Capabilities, data)


def captured(data: bytes) -> Captured:
    """Read one SIP message of a traced push."""
    return _decode(Captured, data)


def subscription(data: bytes) -> Subscription:
    """Read a subscription of a device."""
    return _decode(Subscription, data)


def wanted_subscription(data: bytes) -> Wanted:
    """Read a SUBSCRIBE on its way from one SIP process to another; it is never stored."""
    return _decode(Wanted, data)


def referral(data: bytes) -> Referral:
    """Read a request to subscribe."""
    return _decode(Referral, data)


def told(data: bytes) -> Told:
    """Read a NOTIFY of the refer event on its way between SIP processes; it is never stored."""
    return _decode(Told, data)


def session(data: bytes) -> Session:
    """Read a session that carries pushes."""
    return _decode(Session, data)


def sign(data: bytes) -> Sign:
    """Raises BrokenRecord."""
    return _decode(Sign, data)


def media_worker(data: bytes) -> MediaWorker:
    """Read what a media worker says of itself."""
    return _decode(MediaWorker, data)


def said(data: bytes) -> Said:
    """Read the answer to an INVITE or BYE on its way between SIP processes; it is never stored."""
    return _decode(Said, data)


def asked(data: bytes) -> Asked:
    """Read a request in a session's dialog on the same way."""
    return _decode(Asked, data)


def watch(data: bytes) -> Watch:
    """Read a watch."""
    return _decode(Watch, data)


def notified(data: bytes) -> Notified:
    """Read a NOTIFY on its way from one SIP process to another; it is never stored."""
    return _decode(Notified, data)


def final_answer(data: bytes) -> FinalAnswer:
    """Read the answer to a SUBSCRIBE on the same way."""
    return _decode(FinalAnswer, data)


def profile(data: bytes) -> Profile:
    """Read a UAProf document, or what came instead of it."""
    return _decode(Profile, data)


def hosted_push(data: bytes) -> HostedPush:
    """Read a push for an application behind this server."""
    return _decode(HostedPush, data)


def hosted_state(data: bytes) -> HostedState:
    """Read how telling its back end goes."""
    return _decode(HostedState, data)


def delivery(data: bytes) -> Delivery:
    """Read a Delivery."""
    return _decode(Delivery, data)


def event(data: bytes) -> Event:
    """Read one line of an event log."""
    return _decode(Event, data)


def fan_out(data: bytes) -> FanOut:
    """Read a push to subscribers, as a user shard keeps it."""
    return _decode(FanOut, data)


def push(data: bytes) -> Push:
    """Read the fixed part of a push."""
    return _decode(Push, data)


def recipient(data: bytes) -> Recipient:
    """Read a Recipient."""
    return _decode(Recipient, data)


def registration(data: bytes) -> Registration:
    """Read a registration record."""
    return _decode(Registration, data)


def encode_hosted(headers: tuple[tuple[str, str], ...], push: HostedPush) -> bytes:
    """Return what one SIP process hands to another for a push: headers of its answer, and the push."""
    return _ENCODER.encode((headers, push))


def hosted(data: bytes) -> tuple[tuple[tuple[str, str], ...], HostedPush]:
    """Read what `encode_hosted` wrote; it is never stored."""
    return _HOSTED.decode(data)


def result(data: bytes) -> Result:
    """Read a Result."""
    return _decode(Result, data)


def _decode(kind: type[_T], data: bytes) -> _T:
    try:
        record: _T = _DECODERS[kind].decode(data)
    except msgspec.MsgspecError as error:
        later = _of_later_release(kind, data)
        if later is None:
            raise BrokenRecord(f"{kind.__name__}: {error}") from error
        return later
    return record


def _of_later_release(kind: type[_T], data: bytes) -> _T | None:
    """Return the record without fields that we do not know; None when that is not what is the matter."""
    try:
        return msgspec.convert(known_part(kind, msgspec.msgpack.decode(data)), kind)
    except msgspec.MsgspecError:
        return None
