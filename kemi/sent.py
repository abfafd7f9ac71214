"""
The reference that travels with a request through Kamailio and comes back with its final answer.

It holds all that judging the answer takes, so that no process has to look anything up on the way. Kamailio
gives it 128 bytes (`$uac_req(evparam)`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.push.outcome import RetryPlan

LONGEST_WORD: Final = 1_000
"Characters of what a peer says that travel on; a list of content types is longer than a phrase."


class Sent(NamedTuple):
    """One request in flight."""

    ticket: str
    attempt: int
    plan: RetryPlan
    sent_ms: int
    sender: int
    "Index of the sender process whose window it fills."
    hop: str
    "Next hop whose window it fills, by its short name."
    deliver_before_ms: int
    unconfirmed: bool

    def pack(self) -> str:
        """Return the reference as text, at most 128 bytes."""
        return "|".join(
            (
                self.ticket,
                str(self.attempt),
                *map(str, self.plan),
                str(self.sent_ms),
                str(self.sender),
                self.hop,
                str(self.deliver_before_ms),
                "u" if self.unconfirmed else "c",
            )
        )

    @staticmethod
    def unpack(text: str) -> Sent:
        """Return what `pack` packed."""
        ticket, attempt, attempts, first_ms, longest_ms, sent_ms, sender, hop, before_ms, flag = text.split(
            "|"
        )
        plan = RetryPlan(int(attempts), int(first_ms), int(longest_ms))
        return Sent(ticket, int(attempt), plan, int(sent_ms), int(sender), hop, int(before_ms), flag == "u")


class Answered(NamedTuple):
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

    def pack(self) -> str:
        """Return it as text; peers' words cannot break the format."""
        words = (self.retry_after, self.reason, self.warning, self.accept, self.accept_encoding)
        return "\t".join(
            (
                str(self.sip_code),
                "1" if self.local else "0",
                str(self.at_ms),
                *(_plain(word) for word in words),
            )
        )

    @staticmethod
    def unpack(text: str) -> Answered:
        """Return what `pack` packed."""
        code, local, at_ms, *words = text.split("\t")
        return Answered(int(code), local == "1", int(at_ms), *words)


def _plain(word: str) -> str:
    return word[:LONGEST_WORD].replace("\t", " ")
