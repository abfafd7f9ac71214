"""
Asking a device to subscribe: REFER, the implicit subscription to how it goes, and what became of it.

RFC 3515, RFC 7647, PSA-REF-1..9. A push waits in the outbox until the SUBSCRIBE comes or the referral fails;
one referral is under way for a user and an application at a time.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from omapush.errors import MalformedSip
from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.sip_uri import loose, reached_at
from omapush.protocol.subscription_state import SubscriptionState
from omapush.push import dialog as dialogs
from omapush.push.dialog import Dialog, Heard
from omapush.push.inbound import Answer
from omapush.push.page_mode import Sender
from omapush.push.request import Request
from omapush.push.subscribe import CONTENT
from omapush.push.subscribe import PACKAGE as UA_PROFILE
from omapush.push.values import target

RECORD_VERSION: Final = 1
PACKAGE: Final = "refer"
_APPLICATION_LENGTH: Final = 8
_TOKEN_LENGTH: Final = 16
# "r", target, hash of the application, "-", token        call_id_of
_CALL: Final = re.compile(r"r([0-9a-f]{24})-[0-9a-f]{16}(?:@|$)")
# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase, the start of a message/sipfrag   RFC 3515 2.4.5
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ([^\r\n]{0,200})")
_SILENCE: Final = 408
_NOT_SENT: Final = 503
"In place of an answer to a REFER that our own SIP stack could not send, for short memory most likely."
_AGAIN_MS: Final = 5_000
"Then it is sent again."

State = Literal["asked", "accepted", "subscribed", "failed"]
"`asked`: REFER sent; `accepted`: by the device; `subscribed`: the SUBSCRIBE is here; `failed`: none comes."


class Referral(NamedTuple):
    """One request to subscribe."""

    version: int
    id: str
    aor: str
    application: str
    ticket: str
    "The delivery that it was begun for."
    state: State
    dialog: Dialog
    code: int
    "SIP status that the device told last; 408 when it told nothing in time; 0: nothing yet."
    why: str
    wait_ms: int
    "How long the SUBSCRIBE may take once the device has taken the REFER."
    deadline_ms: int
    """
    While `asked`: when the REFER, without any final answer, counts as lost with its process; then by when the
    SUBSCRIBE has to be here.
    """
    at_ms: int
    "Of the last change."


class Told(NamedTuple):
    """A NOTIFY of the refer event; header values as they came."""

    call_id: str
    our_tag: str
    heard: Heard
    subscription_state: str
    body: bytes
    at_ms: int
    answer_headers: tuple[tuple[str, str], ...] = ()
    "What each answer carries besides."


def referral_id(aor: str, application: str) -> str:
    """Return the name under which a user's referral for an application is kept; it begins with the target."""
    digest = hashlib.blake2s(application.encode(), digest_size=_APPLICATION_LENGTH // 2).hexdigest()
    return target(aor) + digest


def id_of_call(call_id: str) -> str:
    """Return the id of the referral to which a Call-ID belongs; empty when it cannot be one of ours."""
    found = _CALL.match(call_id)
    return found[1] if found else ""


def next_hop_to(sender: Sender, s_cscf: str) -> str:
    """Return the URI of the server that a REFER is sent to; `s_cscf` as for `begin`."""
    return reached_at(loose(s_cscf or sender.next_hop))


def begin(
    aor: str,
    application: str,
    ticket: str,
    *,
    sender: Sender,
    s_cscf: str,
    refer_to: str,
    token: str,
    now_ms: int,
    transaction_ms: int,
    wait_ms: int,
) -> tuple[Referral, Request]:
    """
    Return a new referral and its REFER; the referral is stored before the request leaves.

    `refer_to`: whom the device shall subscribe to. `token`: 16 fresh hexadecimal digits.

    Raises:
        TooLarge: the way to the user does not fit into a request.
    """
    identifier = referral_id(aor, application)
    way = s_cscf or sender.next_hop
    dialog = dialogs.begin(
        call_id=f"r{identifier}-{token[:_TOKEN_LENGTH]}@{sender.sent_by.rsplit(':', 1)[0]}",
        local_uri=sender.uri,
        local_tag=token,
        remote_uri=aor,
        route=(loose(way),),
    )
    request, dialog = dialogs.compose(
        dialog, "REFER", _headers(application, sender, refer_to, dialog.call_id)
    )
    referral = Referral(
        version=RECORD_VERSION,
        id=identifier,
        aor=aor,
        application=application,
        ticket=ticket,
        state="asked",
        dialog=dialog,
        code=0,
        why="REFER sent",
        wait_ms=wait_ms,
        deadline_ms=now_ms + transaction_ms,
        at_ms=now_ms,
    )
    return referral, request


def _headers(application: str, sender: Sender, refer_to: str, call_id: str) -> tuple[str, ...]:
    """One device shall take it: a REFER that forks would be answered once and followed many times."""
    host = sender.sent_by.rsplit(":", 1)[0]
    return (
        f"Contact: <sip:{sender.sent_by}>",
        f"Refer-To: <{referred_uri(refer_to, application)}>",
        f"P-Asserted-Identity: <{sender.uri}>",
        f"Accept-Contact: {accept_contact(application, strict=False)};require",
        "Request-Disposition: no-fork",
        f'P-Charging-Vector: icid-value="{call_id}";icid-generated-at={host};orig-ioi="Type 3{sender.ioi}"',
    )


def referred_uri(uri: str, application: str) -> str:
    """
    Return the Refer-To URI that asks for a SUBSCRIBE to an application's pushes (PSA-REF-4..7).

    What RFC 3261 25.1 would let stand, such as `*`, is escaped too: some readers take `+` for a space.
    """
    event = quote(f"{UA_PROFILE};profile-type={CONTENT}", safe="")
    preference = quote(accept_contact(application, strict=False), safe="")
    return f"{uri};method=SUBSCRIBE?Event={event}&Accept-Contact={preference}"


def is_waited_for(referral: Referral | None, now_ms: int) -> bool:
    """Tell whether a SUBSCRIBE may still come of it."""
    return referral is not None and referral.state in ("asked", "accepted") and now_ms < referral.deadline_ms


def look_again_ms(referral: Referral, now_ms: int) -> int:
    """Return when to look again at a push that waits for the SUBSCRIBE; once accepted, it waits less long."""
    soon_ms = referral.at_ms + referral.wait_ms
    return soon_ms if now_ms < soon_ms < referral.deadline_ms else referral.deadline_ms


def failed_for(referral: Referral | None, accepted_ms: int, now_ms: int) -> Referral | None:
    """
    Return the referral when it has failed for a push that was accepted before that; else None.

    One that was accepted and whose time is over has failed: no SUBSCRIBE came.
    """
    if referral is None or referral.state not in ("accepted", "failed"):
        return None
    if referral.state == "accepted":
        if now_ms < referral.deadline_ms:
            return None
        referral = _failed(referral, _SILENCE, "no SUBSCRIBE came in time", referral.deadline_ms)
    return referral if accepted_ms <= referral.at_ms else None


def subscribed(referral: Referral, now_ms: int) -> Referral | None:
    """Return the referral after the SUBSCRIBE that it asked for; None: it waits for none."""
    if referral.state not in ("asked", "accepted"):
        return None
    return referral._replace(state="subscribed", why="the device subscribed", at_ms=now_ms)


def on_answer(
    referral: Referral, cseq: int, code: int, *, local: bool, reason: str, now_ms: int
) -> Referral | None:
    """
    Return the referral after the final answer to its REFER; None: the answer changes nothing.

    A 2xx makes no dialog yet: the first NOTIFY does (RFC 6665 4.4.1, RFC 7647 4).
    """
    if cseq != referral.dialog.local_cseq or referral.state != "asked":
        return None
    if local and code == _NOT_SENT:
        return referral._replace(
            deadline_ms=now_ms + _AGAIN_MS, at_ms=now_ms, why=f"REFER has to be sent again: {reason}"
        )
    if not 200 <= code < 300:
        said = "no answer to the REFER" if local else f"REFER was answered {code} {reason}".rstrip()
        return _failed(referral, code, said, now_ms)
    return _accepted(referral._replace(at_ms=now_ms), "the device took the REFER")


def _accepted(referral: Referral, why: str) -> Referral:
    deadline_ms = referral.deadline_ms if referral.state == "accepted" else referral.at_ms + referral.wait_ms
    return referral._replace(state="accepted", deadline_ms=deadline_ms, why=why)


def on_told(referral: Referral | None, told: Told) -> tuple[Answer, Referral | None]:
    """
    Return the answer to a NOTIFY of the refer event, and the referral after it; None: as it was.

    It may come before the answer to the REFER, which it then stands for (RFC 6665 4.4.1).
    """
    if referral is None:
        return _NO_SUBSCRIPTION, None
    dialog = referral.dialog
    if (told.call_id, told.our_tag) != (dialog.call_id, dialog.local_tag):
        return _NO_SUBSCRIPTION, None
    if dialog.remote_tag and told.heard.tag != dialog.remote_tag:
        return _NO_SUBSCRIPTION, None  # a fork, though we asked for none
    if dialogs.is_lower(dialog, told.heard.cseq):
        return Answer(500, "CSeq Is Lower Than The Last One"), None
    if not told.subscription_state:
        return Answer(400, "Missing Subscription-State"), None
    try:
        said = SubscriptionState.parse(told.subscription_state)
        learnt = referral._replace(dialog=dialogs.learn(dialog, told.heard), at_ms=told.at_ms)
    except MalformedSip as error:
        return Answer(400, f"Malformed {error.field}"), None
    status = _STATUS_LINE.match(told.body)
    if told.body and status is None:
        return Answer(400, "Body Is No SIP Status Line"), None
    return _OK, _followed(learnt, said, status)


_OK: Final = Answer(200, "OK")
_NO_SUBSCRIPTION: Final = Answer(481, "Subscription Does Not Exist")


def _followed(referral: Referral, said: SubscriptionState, status: re.Match[bytes] | None) -> Referral:
    """The SUBSCRIBE itself says more than the device's report of it: a 200 there changes nothing here."""
    code = int(status[1]) if status else 0
    if referral.state in ("subscribed", "failed"):
        return referral._replace(code=code or referral.code)
    if code >= 300:
        words = status[2].decode("utf-8", "replace").strip() if status else ""
        return _failed(referral, code, f"the device's SUBSCRIBE ended with {code} {words}", referral.at_ms)
    if said.state == "terminated" and code < 200:
        return _failed(referral, _SILENCE, "the device stopped telling how it goes", referral.at_ms)
    why = f"the device says {code}" if code else "the device took the REFER"
    return _accepted(referral._replace(code=code), why)


def _failed(referral: Referral, code: int, why: str, at_ms: int) -> Referral:
    return referral._replace(state="failed", code=code, why=why, at_ms=at_ms)
