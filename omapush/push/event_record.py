"""Event data records: one for each recipient's result, for charging and statistics (docs/records.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from omapush.push.values import Event, Push, Recipient, Result

RECORD_VERSION: Final = 1
_BAR: Final = "|"
_TYPE_3: Final = "Type 3"
"In front of the operator on the reference point to the S-CSCF (TS 24.229 5.7.1.1)."


class Carried(NamedTuple):
    """How a delivery travelled, as its sender knew it; it comes with the result."""

    sent_ms: int = 0
    "When the request left; 0: not known."
    node: str = ""
    "Node that sent it."
    carrier: str = ""
    "Id of the subscription or session that it travelled in; empty: neither."

    def __str__(self) -> str:
        return _BAR.join((str(self.sent_ms), self.node, self.carrier))

    @staticmethod
    def read(text: str) -> Carried:
        """Return what `str` wrote; of anything else nothing is known."""
        words = text.split(_BAR)
        if len(words) != len(Carried._fields) or not (words[0].isascii() and words[0].isdigit()):
            return Carried()
        return Carried(int(words[0]), words[1], words[2])


class Charging(NamedTuple):
    """What ties a delivery to the charging of other nodes."""

    call_id: str = ""
    icid: str = ""
    orig_ioi: str = ""


class EventRecord(NamedTuple):
    """One record; times are in milliseconds here and in ISO 8601 in the file, 0 is null there."""

    version: int
    id: str
    recorded_by: str
    push_id: str
    ref: str
    recipient: int
    initiator: str
    application: str
    aor: str
    address: str
    method: str
    delivery_method: str
    priority: str
    content_type: str
    size: int
    accepted: int
    sent: int
    answered: int
    notified: int
    state: str
    code: str
    sip_code: int
    attempts: int
    node: str
    carrier: str
    call_id: str
    icid: str
    orig_ioi: str


TIMES: Final = ("accepted", "sent", "answered", "notified")
"Fields that are times."


class Known(NamedTuple):
    """What is to be had about one result when its record is made; None: it is forgotten."""

    push: Push | None
    recipient: Recipient | None
    result: Result
    events: tuple[Event, ...]
    carried: Carried
    of_carrier: Charging | None
    "Of the subscription or session that carried it."
    aor: str = ""
    "Whose device the subscription is of, when the push names no recipients."


def record_of(ref: str, index: int, known: Known, *, recorded_by: str, ioi: str) -> EventRecord:
    """Return the record of the result of recipient number `index` of a push."""
    push, recipient, result = known.push, known.recipient, known.result
    of_recipient = [event for event in known.events if event.recipient == index]
    sent_ms = known.carried.sent_ms or _last(of_recipient, ("sent", "session"), result.at_ms)
    charging = known.of_carrier or _of_message(ref, index, known, ioi)
    if charging.icid and result.method == "NOTIFY":
        charging = charging._replace(orig_ioi=_TYPE_3 + ioi)
    return EventRecord(
        version=RECORD_VERSION,
        id=f"{ref}.{index}",
        recorded_by=recorded_by,
        push_id=push.push_id if push else "",
        ref=ref,
        recipient=index,
        initiator=push.initiator if push else "",
        application=push.application if push else "",
        aor=recipient.aor if recipient else known.aor,
        address=recipient.address if recipient else "",
        method=result.method,
        delivery_method=push.delivery_method if push else "",
        priority=push.priority if push else "",
        content_type=push.content_type if push else "",
        size=push.size if push else 0,
        accepted=push.accepted_ms if push else 0,
        sent=sent_ms,
        answered=result.at_ms if result.sip_code else 0,
        notified=_last(of_recipient, ("notified",), None),
        state=result.state,
        code=result.code,
        sip_code=result.sip_code,
        attempts=result.attempts,
        node=known.carried.node,
        carrier=known.carried.carrier,
        call_id=charging.call_id,
        icid=charging.icid,
        orig_ioi=charging.orig_ioi,
    )


def _last(events: Iterable[Event], names: tuple[str, ...], before_ms: int | None) -> int:
    """When the last such event was; 0: none was."""
    times = (
        one.at_ms for one in events if one.name in names and (before_ms is None or one.at_ms <= before_ms)
    )
    return max(times, default=0)


def _of_message(ref: str, index: int, known: Known, ioi: str) -> Charging:
    """A MESSAGE has its Call-ID as its ICID (`push/page_mode.py`); who sent it has to be known."""
    carried, result = known.carried, known.result
    if result.method != "MESSAGE" or not carried.node or carried.carrier:
        return Charging()
    host = carried.node.rpartition("/")[2].rpartition(":")[0]
    call_id = f"{ref}.{index}.{result.attempts}@{host}"
    return Charging(call_id, call_id, _TYPE_3 + ioi)
