"""
Third-party REGISTERs: read, stored and answered in batches, by processes that do nothing else.

Kamailio itself suspends most of them and queues what it reads out of them (kamailio.cfg), so no SIP worker
runs Python for them; those on which it does not decide alone come the same way by `hand_over`.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Final, cast

import KSR
import ksr_reader
import suspended
import watching
from msgspec import Struct
from pace import Pace
from settings import Settings

from omapush import clock, log
from omapush.errors import PushError
from omapush.push import registrar
from omapush.push.inbound import Answer, Decision
from omapush.push.registrar import ThirdPartyRegister
from omapush.push.registration import Report
from omapush.store import client, registrations

REGISTERS = "registers"
"What the queues are called together; each has its completer's number behind it."
_MOST_REGISTERS: Final = 256
_GATHERING_S: Final = 0.010
"""
How long others may gather before the next batch, unless one was full.

A batch costs Redis and us the same two trips and a call for each shard, however few are in it; those that are
taken as soon as the last was stored stay small until there is no time left at all.
"""
_NOT_TRUSTED: Final = Answer(403, "Not a Trusted Peer")
_DEFECT: Final = Answer(500, "Server Internal Error")

_CODED: Final = "="
"What is queued begins so when the rest is base64."
_BETWEEN: Final = "\n\n"
"Ends a header section, so that no value has it inside."
_ABSENT: Final = "<null>"
"What Kamailio writes for a header that is not there."
_VALUES: Final = 11
"How many there are before the body."


class Stored(Struct, frozen=True, gc=False):
    """One REGISTER that is to be stored, and how its sender is answered then."""

    transaction: str
    headers: tuple[tuple[str, str], ...]
    report: Report


def queue() -> str:
    """In a SIP worker: return the queue of the REGISTER in hand, its user's, as kamailio.cfg has it."""
    KSR.route("QUEUE")
    return f"{REGISTERS}{ksr_reader.number('$var(queue)')}"


def hand_over() -> Decision | None:
    """In a SIP worker: suspend and queue the REGISTER in hand, as `suspended.hand_over`; it may come in."""
    return suspended.hand_over(queue(), _pack(ksr_reader.third_party_register()), is_admitted=True)


def _pack(register: ThirdPartyRegister) -> str:
    """As kamailio.cfg does it; without the peer, whom the worker has looked at already, and fit for KSR."""
    values = (
        "",
        str(len(register.body)),
        register.to,
        register.from_uri,
        register.contact,
        register.expires,
        register.path,
        register.associated,
        register.charging_vector,
        register.charging_functions,
        register.content_type,
    )
    whole = b"\n\n".join((*(value.encode() for value in values), register.body))
    return _CODED + base64.b64encode(whole).decode()


def unpack(packed: str) -> tuple[str, ThirdPartyRegister]:
    """Return what was queued: the peer's address, empty when it was looked at already, and the REGISTER."""
    if packed[:1] == _CODED or "\0" in packed:
        return _unpack_octets(packed)
    peer, length, *values, body = packed.split(_BETWEEN, _VALUES)
    if _ABSENT in values:
        values = ["" if value == _ABSENT else value for value in values]
    return peer, ThirdPartyRegister(*cast(_Texts, values), body.encode()[: int(length)])


def _unpack_octets(packed: str) -> tuple[str, ThirdPartyRegister]:
    """The same where one of the values may be no text."""
    octets = binascii.a2b_base64(packed[1:]) if packed[:1] == _CODED else packed.encode()
    peer, length, *values, body = octets.split(_BETWEEN.encode(), _VALUES)
    texts = cast(_Texts, [_text(value) for value in values])
    return _text(peer), ThirdPartyRegister(*texts, body[: int(length)])


_Texts = tuple[str, str, str, str, str, str, str, str, str]


def _text(value: bytes) -> str:
    """As `ksr_reader.text`: empty for what is absent, not UTF-8, or has a NUL."""
    if b"\0" in value or value == _ABSENT.encode():
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


class RegisterCompleter:
    """Reads and stores REGISTERs and lets their suspended transactions answer."""

    def __init__(self, settings: Settings, number: int) -> None:
        """`number`: which of the queues it takes from."""
        self._queue = f"{REGISTERS}{number}"
        self._store = client.connect(settings.config.redis)
        self._pace = Pace()
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Watch users, and trust peers, as these settings say from now on."""
        self._settings = settings
        plans = settings.watch_plans.items()
        self._packages = tuple(package for package, plan in plans if not plan.standing)

    def run_once(self) -> None:
        """Store and answer REGISTERs that wait; without Redis they are answered 503."""
        while batch := self._fetch():
            self._store_batch(batch)
            self._pace.worked()
            if len(batch) < _MOST_REGISTERS:
                time.sleep(_GATHERING_S)
            if self._pace.is_over():
                return
        self._pace.rest()

    def _store_batch(self, batch: list[Stored]) -> None:
        reports = [one.report for one in batch]
        try:
            changed = registrations.capture(self._store, reports)
            if self._packages:
                watching.after_registers(self._store, reports, changed, self._packages)
        except PushError as error:
            log.get().warning("register_not_stored", problem=str(error), refused=len(batch))
            for one in batch:
                suspended.refuse(one.transaction)
            return
        KSR.xhttp_prom.counter_inc_l0("registrations_captured_total", len(batch))
        suspended.resume_all([(one.transaction, one.headers) for one in batch])

    def _fetch(self) -> list[Stored]:
        """Return up to one batch of what is to be stored; what is refused is answered here."""
        batch: list[Stored] = []
        now_ms = clock.now_ms()
        for transaction, packed in suspended.all_waiting(self._queue, _MOST_REGISTERS):
            read = self._read(transaction, packed, now_ms)
            if isinstance(read, Stored):
                batch.append(read)
            else:
                suspended.resume(transaction, read)
        return batch

    def _read(self, transaction: str, packed: str, now_ms: int) -> Stored | Answer:
        try:
            peer, register = unpack(packed)
            if peer and not self._settings.is_trusted(peer):
                return _NOT_TRUSTED  # a reload has taken the trust away
            report = registrar.read_report(register, now_ms)
            headers = registrar.answer_headers(register, self._settings.config.core.ioi)
        except PushError as error:
            log.get().warning("request_refused", problem=str(error), status=error.sip_status)
            return Answer(error.sip_status, error.sip_reason)
        except Exception:  # noqa: BLE001 - one must not take the others of its batch along
            log.get().exception("route_crashed", onward=False)
            return _DEFECT
        if report.problems:
            log.get().warning("register_body_unread", aor=report.aor, problems="; ".join(report.problems))
        return Stored(transaction, headers, report)
