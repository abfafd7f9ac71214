"""
The reference that travels with a request through Kamailio and comes back with its final answer.

It holds all that judging the answer takes, so that no process has to look anything up on the way. Kamailio
gives it 128 bytes (`$uac_req(evparam)`): the numbers are packed.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import Final

from msgspec import Struct

from omapush.push.outcome import is_for_a_time
from omapush.push.values import TARGET_LENGTH, Method

LONGEST_WORD: Final = 1_000
"Characters of what a peer says that travel on; a list of content types is longer than a phrase."

# attempt, plans, sent_ms, sender, hop, deliver_before_ms, flags
_NUMBERS: Final = struct.Struct(">BHQBHQB")
_MOST_ATTEMPTS: Final = 255
"A push that waits for its user may be tried more often; no plan counts so far."
_IN_SUBSCRIPTION: Final = struct.Struct(">8sI")
_LONGEST_RETRY_AFTER_S: Final = 86_400
_UNCONFIRMED: Final = 1
_OTHERS: Final = 2
_FETCH: Final = 4
_LINK: Final = 8
_ANOTHER: Final = 16


class InSubscription(Struct, frozen=True, gc=False):
    """The NOTIFY that carries a push."""

    id: str
    cseq: int
    others: bool
    "The user has further subscriptions to the application, which get it afterwards."


class Sent(Struct, frozen=True, gc=False):
    """One push in flight."""

    ticket: str
    attempt: int
    plans: int
    "Which retry plans are its application's, by place in the settings, which all our processes share."
    sent_ms: int
    sender: int
    "Index of the sender process whose window it fills."
    hop: str
    "Next hop whose window it fills, by its short name: four hexadecimal digits."
    deliver_before_ms: int
    unconfirmed: bool
    notify: InSubscription | None = None
    "None: it is a MESSAGE."
    fetch: bool = False
    "It carries a link, whose fetch decides whether it is delivered."
    link: bool = False
    "It carries a link."
    another: bool = False
    "There is another way for the push, if the device refuses this one."

    @property
    def method(self) -> Method:
        """How it left."""
        return "NOTIFY" if self.notify else "MESSAGE"

    @property
    def way(self) -> Method:
        """How it left, in the words of a profile's `methods`."""
        return "INDIRECT" if self.link else self.method

    def pack(self) -> str:
        """Return the reference as text, at most 127 bytes."""
        notify = self.notify
        flags = (_UNCONFIRMED if self.unconfirmed else 0) | (_OTHERS if notify and notify.others else 0)
        flags |= _FETCH if self.fetch else 0
        flags |= (_LINK if self.link else 0) | (_ANOTHER if self.another else 0)
        hop = int(self.hop, 16)
        packed = _NUMBERS.pack(
            min(self.attempt, _MOST_ATTEMPTS),
            self.plans,
            self.sent_ms,
            self.sender,
            hop,
            self.deliver_before_ms,
            flags,
        )
        if notify:
            # The subscription's id begins with the target, as the ticket does.
            packed += _IN_SUBSCRIPTION.pack(bytes.fromhex(notify.id[TARGET_LENGTH:]), notify.cseq)
        return f"{self.ticket}|{b2a_base64(packed, newline=False).decode()}"

    @staticmethod
    def unpack(text: str) -> Sent:
        """Return what `pack` packed."""
        ticket, _, encoded = text.partition("|")
        packed = a2b_base64(encoded)
        attempt, plans, sent_ms, sender, hop, before_ms, flags = _NUMBERS.unpack_from(packed)
        notify = None
        if len(packed) > _NUMBERS.size:
            suffix, cseq = _IN_SUBSCRIPTION.unpack_from(packed, _NUMBERS.size)
            notify = InSubscription(ticket[:TARGET_LENGTH] + suffix.hex(), cseq, bool(flags & _OTHERS))
        unconfirmed, fetch = flags & _UNCONFIRMED != 0, flags & _FETCH != 0
        link, another = flags & _LINK != 0, flags & _ANOTHER != 0
        where = sender, f"{hop:04x}"
        # By place, for every answer comes by here: names cost as much as all else.
        return Sent(
            ticket, attempt, plans, sent_ms, *where, before_ms, unconfirmed, notify, fetch, link, another
        )


class Answered(Struct, frozen=True, gc=False):
    """The final answer to one request, on its way from a SIP worker to the completer."""

    sip_code: int
    local: bool
    "Nobody answered: Kamailio's own timeout, or the request could not be sent."
    at_ms: int
    retry_after: str
    "As the header says; may be anything."
    reason: str
    warning: str
    accept: str = ""
    "What a refusal says it would take instead."
    accept_encoding: str = ""

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of Retry-After (RFC 3261 20.33); its comment and parameters do not matter here."""
        if not self.retry_after:
            return None
        digits = self.retry_after.split(";")[0].split("(")[0].strip()
        return min(int(digits), _LONGEST_RETRY_AFTER_S) if digits.isascii() and digits.isdigit() else None

    @property
    def is_for_a_time(self) -> bool:
        """It is too large now, and will not be later: nothing to be learnt, no reason for another method."""
        return is_for_a_time(self.sip_code, self.retry_after_s)

    def pack(self) -> str:
        """Return it as text; peers' words cannot break the format."""
        words = (self.retry_after, self.reason, self.warning, self.accept, self.accept_encoding)
        said = "\t".join([_plain(word) if word else "" for word in words])
        return f"{self.at_ms}\t{self.sip_code}\t{int(self.local)}\t{said}"

    @staticmethod
    def unpack(text: str) -> Answered:
        """Return what `pack` packed; a 200 of which there is but the time, in seconds and microseconds."""
        at_ms, tab, rest = text.partition("\t")
        if not tab:
            return Answered(200, False, int(text[:-7] + text[-6:-3]), "", "OK", "")
        code, local, words = _said(rest)
        return Answered(code, local, int(at_ms), *words)


@lru_cache(maxsize=256)  # peers say the same again and again
def _said(text: str) -> tuple[int, bool, list[str]]:
    code, local, *words = text.split("\t")
    return int(code), local == "1", words


def _plain(word: str) -> str:
    return word[:LONGEST_WORD].replace("\t", " ")
