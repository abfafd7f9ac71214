"""
What a hosted application subscribes to at senders of pushes, and the pushes that NOTIFYs of theirs bring.

The subscription itself is a watch (watch_rules.py): the receiver on an application server subscribes to
content as a device does (PRA-SUB-1, PRA-NOT-1..3).
"""

from __future__ import annotations

import re
from typing import Final

from omapush.protocol import content_coding
from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.wrapped_push import WRAPPED_TYPE
from omapush.push.hosted import Arrived, Hosted, HostedPush, admit
from omapush.push.inbound import Answer
from omapush.push.subscribe import CONTENT, PACKAGE
from omapush.push.watch import Plan
from omapush.push.watch_rules import KILLS

EVENT: Final = f"{PACKAGE};profile-type={CONTENT}"
_NOT_NOW_S: Final = 60
"Retry-After where the back end said none."
_WORD: Final = r"[A-Za-z0-9.\-!%_+`'~]{1,127}"
# media-range                                             RFC 3261 25.1
_MEDIA_RANGE: Final = re.compile(rf"{_WORD}/(?:{_WORD}|\*)")


def plan_of(base: Plan, application: str, terms: Hosted, *, identity: str, expires_s: int) -> Plan:
    """Return how an application subscribes: `base` with what is asked for, and in whose name."""
    return base._replace(
        sender_uri=identity,
        identity="as",
        expires_s=expires_s,
        event=EVENT,
        headers=(
            f"Accept: {accept(terms.content_types)}",
            f"Accept-Encoding: {', '.join(content_coding.CODINGS)}",
            f"Accept-Contact: {accept_contact(application, strict=False)}",
        ),
        standing=True,
    )


def accept(content_types: tuple[str, ...]) -> str:
    """Return the Accept value for patterns of content types; one that no media-range can say asks for all."""
    whole = not content_types or any(_MEDIA_RANGE.fullmatch(one) is None for one in content_types)
    return ", ".join(dict.fromkeys(("*/*",) if whole else (*content_types, WRAPPED_TYPE)))


def admit_notified(
    arrived: Arrived, application: str, terms: Hosted, *, recipient: str, notifier: str, now_ms: int
) -> HostedPush | Answer:
    """
    Return the push that a NOTIFY of a subscription brings, or the answer that refuses it.

    `recipient`: who subscribed. `notifier`: where; it is the sender where a NOTIFY asserts nobody, for the
    dialog vouches for it and requests inside of one need no P-Asserted-Identity.
    """
    asserted = arrived.asserted or f"<{notifier}>"
    push = admit(arrived._replace(request_uri=recipient, asserted=asserted), application, terms, now_ms)
    if isinstance(push, Answer):
        return Answer(403, "Forbidden", push.headers) if push.status == 480 else within_dialog(push)
    return push._replace(method="NOTIFY")


def within_dialog(answer: Answer) -> Answer:
    """
    Return what a NOTIFY is answered where a MESSAGE would get `answer`.

    The application refuses one push: an answer that ends the subscription (RFC 6665 4.2.2) would refuse all.
    """
    if answer.status not in KILLS:
        return answer
    if answer.status != 480:
        return Answer(403, "Forbidden", answer.headers)
    again = [one for one in answer.headers if one[0] == "Retry-After"] or [("Retry-After", str(_NOT_NOW_S))]
    others = [one for one in answer.headers if one[0] != "Retry-After"]
    return Answer(503, "Service Unavailable", (*again, *others))
