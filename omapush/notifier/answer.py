"""What an initiator says to a result notification: taken, or to be told again (docs/pap.md)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from omapush.errors import PushError, shortened
from omapush.protocol import pap_reader
from omapush.protocol import pap_values as pap

LARGEST: Final = 65_536
"Bytes of an answer that are read; what is longer is not looked into."
_REFUSING_CLASSES: Final = (3, 4)


class Answer(NamedTuple):
    """The initiator's verdict."""

    refusal: str
    "Why it did not take the notification; empty when it did."
    remark: str = ""
    "What it had against a notification that counts as told all the same."
    after_s: int = 0
    "Not before so long it wants to be asked again; 0: it does not say."
    is_well: bool = True
    "False: it did not answer, or said that it has too much to do."


def is_well(status: int) -> bool:
    """Tell whether a host that answers so is not overloaded, as far as its status says."""
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS


def read(status: int, content_type: str, body: bytes, after_s: int = 0) -> Answer:
    """
    Return what an HTTP answer means.

    Any 2xx means that the notification arrived. A PAP document in it asks for a repeat with a code of class
    3 or 4; with one of class 2 or a badmessage-response it says that a repeat would not help. `after_s` is
    what its Retry-After says.
    """
    if not 200 <= status < 300:
        return Answer(f"HTTP {status}", after_s=after_s, is_well=is_well(status))
    if not body or "xml" not in content_type.lower():
        return Answer("")
    if len(body) > LARGEST:
        return Answer("", f"answer is larger than {LARGEST} bytes")
    try:
        operation = pap_reader.read(content_type, body).document.operation
    except PushError as error:
        return Answer("", f"answer cannot be read: {error}")
    return _said(operation)


def _said(operation: pap.Operation) -> Answer:
    match operation:
        case pap.ResultNotificationResponse(code=code, desc=desc):
            said = f"PAP {code} {shortened(desc or '')}".strip()
            if pap.code_class(code) in _REFUSING_CLASSES:
                return Answer(said)
            return Answer("", "" if pap.code_class(code) == 1 else said)
        case pap.BadMessage(code=code, desc=desc):
            return Answer("", f"badmessage {code} {shortened(desc or '')}".strip())
        case other:
            return Answer("", f"answer is a {type(other).__name__}")
