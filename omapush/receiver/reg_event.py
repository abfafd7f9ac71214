"""
The device's own reg event: what the network does with its registration (TS 24.229 5.1.1.3, 5.1.1.7).

A network that takes a registration away says so in a NOTIFY, and nowhere else: no request reaches the device
from then on, and its next REGISTER may be days away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, Literal, NamedTuple

from omapush import log
from omapush.errors import MalformedSip, MalformedXml
from omapush.protocol.reginfo import ContactElement, RegInfo, RegistrationElement, read
from omapush.protocol.sip_uri import address_of_record
from omapush.receiver.agent import Agent
from omapush.receiver.delivery import Answer
from omapush.receiver.endpoint import Request
from omapush.receiver.subscription import Subscription

EXPIRES_S: Final = 600_000
"Duration asked for (TS 24.229 5.1.1.3)."
_SHUT_OUT: Final = frozenset({"rejected", "unregistered"})
"The network will not have the device, or somebody has signed it off: it stays away."
_LONGEST_PROBATION_S: Final = 86_400


class Verdict(NamedTuple):
    """What the network says of the device's binding."""

    kind: Literal["kept", "again", "gone"]
    "It is there, or nothing was said; register again; stay away."
    wait_s: int = 0
    "Before registering again."
    reason: str = ""


KEPT: Final = Verdict("kept")


def judge(document: RegInfo, aor: str, contact: str, instance: str, dropped: Collection[str] = ()) -> Verdict:
    """
    Return what a reg event document means for the device at `contact` (RFC 3680 5.1, 5.2).

    `dropped`: contacts that the device had before, and has removed itself.

    Only what says that the binding is over counts: a contact that is missing may just be written otherwise.
    """
    ours = [one for one in document.registrations if _is(one.aor, aor)]
    found = [
        (registration, each)
        for registration in ours
        for each in registration.contacts
        if _is_ours(each, contact, instance) and (each.uri == contact or each.uri not in dropped)
    ]
    for registration, each in found:
        if each.state == "active" and registration.state != "terminated":
            return KEPT
    if found:
        return _ended(found[0][1])
    return next((_all_gone(one) for one in ours if one.state == "terminated"), KEPT)


def _all_gone(registration: RegistrationElement) -> Verdict:
    """Nobody is left; what ended the others ended this device's binding, too."""
    ended = [each for each in registration.contacts if each.state == "terminated"]
    return _ended(ended[0]) if ended else Verdict("again", reason="terminated")


def _ended(contact: ContactElement) -> Verdict:
    if contact.event in _SHUT_OUT:
        return Verdict("gone", reason=contact.event)
    wait_s = min(contact.retry_after or 0, _LONGEST_PROBATION_S) if contact.event == "probation" else 0
    return Verdict("again", wait_s, contact.event)


def _is(uri: str, aor: str) -> bool:
    try:
        return address_of_record(uri) == address_of_record(aor)
    except MalformedSip:
        return False


def _is_ours(each: ContactElement, contact: str, instance: str) -> bool:
    """By instance where the document has one, else by URI; an S-CSCF may have added parameters to that."""
    for name, value in each.params:
        if name == "+sip.instance":
            return value == f"<{instance}>"
    return each.uri == contact or each.uri.startswith(f"{contact};")


class RegEvent:
    """Makes the subscription, and reads what its NOTIFYs say."""

    def __init__(self, agent: Agent, taken_away: Callable[[Verdict], None]) -> None:
        """`taken_away` is told when the binding is over; the NOTIFY is answered whatever it does."""
        self._agent = agent
        self._taken_away = taken_away

    def subscription(self) -> Subscription:
        """Return a new subscription to the registration of the device's user."""
        return Subscription(
            self._agent,
            self._agent.uri,
            "reg",
            self._content,
            headers=[("Accept", "application/reginfo+xml")],
            expires_s=EXPIRES_S,
            name="reg event",
        )

    async def _content(self, request: Request) -> Answer:
        agent = self._agent
        try:
            document = read(request.message.body, request.message.first("content-type") or "")
        except MalformedXml as error:
            log.get().warning(
                "reginfo_unread", aor=agent.uri, problem=str(error), action="nothing is changed"
            )
            return Answer(200, "OK")
        verdict = judge(document, agent.uri, agent.contact_uri, agent.instance, agent.dropped_contacts)
        if verdict.kind != "kept":
            self._taken_away(verdict)
        return Answer(200, "OK")
