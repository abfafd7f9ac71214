"""Records <-> MessagePack bytes; the layouts are in schema/records.md."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from omapush.errors import PushError
from omapush.push.registration import Registration, Report
from omapush.push.values import Delivery, Event, Push, Recipient, Result

_T = TypeVar("_T")
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[type[Any], msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (Delivery, Event, Push, Recipient, Registration, Result)
}


_CAPTURE: Final = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], Report])


class BrokenRecord(PushError):
    """Bytes in Redis that are none of our records: a defect, or another writer."""


def encode(record: Delivery | Event | Push | Recipient | Registration | Result) -> bytes:
    """Return the record as one MessagePack array."""
    return _ENCODER.encode(record)


def delivery(data: bytes) -> Delivery:
    """Read a Delivery."""
    return _decode(Delivery, data)


def event(data: bytes) -> Event:
    """Read one line of an event log."""
    return _decode(Event, data)


def push(data: bytes) -> Push:
    """Read the fixed part of a push."""
    return _decode(Push, data)


def recipient(data: bytes) -> Recipient:
    """Read a Recipient."""
    return _decode(Recipient, data)


def registration(data: bytes) -> Registration:
    """Read a registration record."""
    return _decode(Registration, data)


def encode_capture(headers: tuple[tuple[str, str], ...], report: Report) -> bytes:
    """Return what one SIP process hands to another for a REGISTER: headers of the answer, and the report."""
    return _ENCODER.encode((headers, report))


def capture(data: bytes) -> tuple[tuple[tuple[str, str], ...], Report]:
    """Read what `encode_capture` wrote; it is never stored."""
    return _CAPTURE.decode(data)


def result(data: bytes) -> Result:
    """Read a Result."""
    return _decode(Result, data)


def _decode(kind: type[_T], data: bytes) -> _T:
    try:
        record: _T = _DECODERS[kind].decode(data)
    except msgspec.MsgspecError as error:
        raise BrokenRecord(f"{kind.__name__}: {error}") from error
    return record
