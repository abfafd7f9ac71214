"""
From a request that carries a push to the application, and from its decision to the answer.

The order of checks is that of spec: identity, whitelist, caller preferences, application, type, size, and
only then the application (PRA-MSG-1..4). A push is handed over once, however often it comes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeVar

from omapush import clock, log
from omapush.errors import MalformedMime, MalformedSip, PushError, TooLarge
from omapush.protocol import content_coding
from omapush.protocol.content_coding import UnknownCoding
from omapush.protocol.external_body import ExternalBody
from omapush.protocol.feature_sets import FeatureSet
from omapush.protocol.multipart import media_type
from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_core import seconds
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.wrapped_push import WRAPPED_TYPE, unwrap
from omapush.receiver import preferences
from omapush.receiver.agent import Agent
from omapush.receiver.endpoint import Request, warning
from omapush.receiver.links import Links
from omapush.receiver.once import Decision, Once
from omapush.receiver.push import AnswerWith, Application, Push, Reason, Refused
from omapush.receiver.whitelist import type_fits

_ACCEPTED_TOGETHER: Final = frozenset({frozenset({"sip", "tel"}), frozenset({"sips", "tel"})})
_MOST_REASONS: Final = 256
_FOREVER_MS: Final = 2**52
Subject = TypeVar("Subject")


class Answer(NamedTuple):
    """What a push is answered with; status 0: nothing at all."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...] = ()


OK: Final = Answer(200, "OK")


class _Expected(NamedTuple):
    """What a subscription knows of a push before it comes; nothing for a MESSAGE."""

    application: str = ""
    notifier: str = ""


class Delivery:
    """The way of pushes to the applications of one device."""

    def __init__(self, agent: Agent, applications: Mapping[str, Application]) -> None:
        self._agent = agent
        self._settings = agent.settings
        self._applications = {name.lower(): (name, one) for name, one in applications.items()}
        self.links = Links(agent, self._hand_over_fetched)
        self._pushes = Once(
            agent.uri,
            most=agent.settings.limits.remembered,
            memory=agent.settings.memory,
            taken=OK,
            failed=Answer(500, "Server Internal Error"),
            repeated=self.repeated,
        )
        self.delivered = 0
        self.duplicates = 0
        self.refusals: Counter[str] = Counter()
        "By reason, whoever refused."

    # ---- a MESSAGE --------------------------------------------------------------------------------------

    async def page_mode(self, request: Request, own: FeatureSet) -> Answer:
        """Return the answer to a MESSAGE, once its application decided."""
        return await self._once(request, _Expected(), own)

    async def of_subscription(self, request: Request, application: str, notifier: str) -> Answer:
        """
        Return the answer to the content in a NOTIFY, which is for the application that subscribed.

        `notifier`: whom it subscribed at. The dialog vouches for it where a NOTIFY has no
        P-Asserted-Identity, which inside of dialogs it need not have.
        """
        return await self._once(request, _Expected(application, notifier), None)

    async def _once(self, request: Request, expected: _Expected, own: FeatureSet | None) -> Answer:
        core = request.core
        keys: list[Hashable] = [("call", core.call_id, core.cseq, core.from_.param("tag"))]
        if push_id := request.message.first("x-push-id"):
            keys.append(("push", push_id, request.message.first("p-asserted-identity")))
        # a later try of the same push is a new question; the same request is not
        return await self._pushes.decide(
            keys, lambda: self._decided(request, expected, own, keys), anew=keys[1:]
        )

    def repeated(self) -> None:
        """Count a push that came before."""
        self.duplicates += 1

    async def _decided(
        self, request: Request, expected: _Expected, own: FeatureSet | None, keys: Sequence[Hashable]
    ) -> Decision[Answer]:
        try:
            push, name, link = self._read(request, expected, own)
            push = replace(push, names=self._pushes.names(keys))
            if link is not None:  # the sender does not wait for a fetch (RFC 4483)
                self.links.follow(link, push, name, lambda fetched: self._followed(keys, fetched=fetched))
                return Decision(OK, is_taken=False)
            await self.hand_over(push, name)
        except Refused as error:
            self._count(error.reason.value if not isinstance(error, AnswerWith) else str(error), request)
            answer = _refusal(error, self.accepted(expected.application), self._agent.link_types())
            return Decision(answer, is_taken=False)
        except PushError as error:
            self._count(str(error), request)
            return Decision(_of_error(error), is_taken=False)
        self.delivered += 1
        return Decision(OK, is_taken=True)

    async def _followed(self, keys: Sequence[Hashable], *, fetched: bool) -> None:
        """Keep that the application has what a link brought; else the same push may come again."""
        if fetched:
            await self._pushes.took(keys)
        else:
            self._pushes.forget(keys[1:])

    def _count(self, reason: str, request: Request) -> None:
        self.refuse(request.method, reason)

    def refuse(self, method: str, reason: str) -> None:
        """Count a refusal, and tell of it."""
        self.refusals[reason[:100]] += 1
        if len(self.refusals) > _MOST_REASONS:  # reasons hold what peers wrote
            self.refusals = Counter(dict(self.refusals.most_common(_MOST_REASONS // 2)))
        self._agent.tell("refused", {"method": method, "reason": reason})

    # ---- checks -----------------------------------------------------------------------------------------

    def senders(self, request: Request, notifier: str = "") -> tuple[str, ...]:
        """
        Return the identities that the core asserts of the sender, else `notifier`.

        Raises:
            AnswerWith: 403, there are none that count.
        """
        if not self._settings.require_identity and request.message.first("p-asserted-identity") is None:
            return (request.core.from_.uri,)
        if not request.trusted and self._settings.require_identity:
            raise _forbidden("the request does not come from the trusted core")
        if notifier and request.message.first("p-asserted-identity") is None:
            return (notifier,)
        return asserted_identities(request)

    def admitted(self, request: Request, own: FeatureSet | None, notifier: str = "") -> tuple[str, ...]:
        """
        Return the identities of a sender who may push to this device.

        `own`: its features; None inside dialogs, where preferences do not count.

        Raises:
            AnswerWith: 403 or 480. MalformedSip: caller preferences that cannot be read.
        """
        senders = self.senders(request, notifier)
        if why_not := self._settings.whitelist.why_not(senders):
            raise _forbidden(why_not)
        if own is not None:
            preferences.check_preferences(request.message, own)
        return senders

    def addressee(
        self, message: SipMessage, senders: tuple[str, ...], essence: str, expected: str = ""
    ) -> str:
        """
        Return the name, in lower case, of the application that takes this from these senders.

        `essence`: content type without parameters, empty: not known; `expected`: the application of a
        subscription.

        Raises:
            Refused: no such application, or it does not take that type, or not from them.
        """
        name = expected.lower() or preferences.application_of(
            message,
            {ari: self.accepted(ari) for ari in self._applications},
            default=self._settings.default_application.lower(),
            content_type=essence,
        )
        if name not in self._applications:
            raise AnswerWith(404, "no such push application here", phrase="Not Found")
        if why_not := self._settings.whitelist.why_not(senders, name, essence):
            raise _forbidden(why_not)
        accepted = self.accepted(name)
        if essence and not type_fits(essence, accepted):
            raise Refused(Reason.TYPE, f"{essence} is not taken", accept=accepted)
        return name

    def application(self, name: str) -> tuple[str, Application]:
        """Return the ARI as it is written, and the application."""
        return self._applications[name]

    def _read(
        self, request: Request, expected: _Expected, own: FeatureSet | None
    ) -> tuple[Push, str, ExternalBody | None]:
        """The record for the application, under which name it is known here, and what is to be fetched."""
        senders = self.admitted(request, own, expected.notifier)
        push = self._record(request, senders[0])
        link = self.links.read(push.content_type, push.content)
        essence = _essence(link.header("Content-Type") if link else push.content_type)
        name = self.addressee(request.message, senders, essence, expected.application)
        if push.valid_until_ms is not None and push.valid_until_ms < clock.now_ms():
            raise Refused(Reason.UNAVAILABLE, "the push has expired")
        return replace(push, application=self._applications[name][0]), name, link

    async def _hand_over_fetched(self, push: Push, name: str) -> None:
        if push.valid_until_ms is not None and push.valid_until_ms < clock.now_ms():
            raise Refused(Reason.UNAVAILABLE, "the push expired while it was fetched")
        await self.hand_over(push, name)
        self.delivered += 1

    def accepted(self, name: str) -> tuple[str, ...]:
        """Return the content types that an application takes."""
        known = self._applications.get(name.lower())
        return (known[1].accept if known else ()) or self._settings.accept

    def _record(self, request: Request, sender: str) -> Push:
        message = request.message
        limit = self._settings.limits.content_bytes
        if len(message.body) > limit:
            raise TooLarge(f"content is above {limit} bytes")
        content = content_coding.decode(
            message.body, ",".join(message.all("content-encoding")), most_bytes=limit
        )
        content_type = message.first("content-type") or ""
        if content and not content_type:
            raise MalformedSip("Content-Type", "missing")
        headers = message.headers
        wrapped = _essence(content_type) == WRAPPED_TYPE
        inner: tuple[tuple[str, str], ...] = ()
        if wrapped:
            inside = unwrap(content)
            content, inner = inside.content, inside.headers
            content = content_coding.decode(
                content, inside.header("content-encoding") or "", most_bytes=limit
            )
            content_type = inside.header("content-type") or ""
        push = Push(
            content=content,
            content_type=content_type,
            application="",
            sender=sender,
            method=request.method,
            headers=(*headers, *inner),
            push_id=message.first("x-push-id") or "",
            valid_until_ms=_valid_until(request),
            wrapped=wrapped,
        )
        return replace(
            push,
            initiator_uri=push.header("X-Wap-Initiator-URI") or "",
            content_uri=push.header("X-Wap-Content-URI") or push.header("Content-Location") or "",
        )

    async def hand_over(self, push: Push, name: str) -> None:
        """
        Give a push to its application.

        Raises:
            Refused: the application says so, fails, or takes too long.
        """
        await self.asked(name, self._applications[name][1].callback, push)

    async def asked(
        self, name: str, callback: Callable[[Subject], Awaitable[None] | None], subject: Subject
    ) -> None:
        """Ask an application about something; raises Refused as `hand_over` does."""
        limit_s = self._settings.limits.answer_within_s
        try:
            async with asyncio.timeout(limit_s):
                decision = callback(subject)
                if inspect.isawaitable(decision):
                    await decision
        except TimeoutError:
            raise Refused(Reason.NO_ROOM, f"the application did not decide within {limit_s:g} s") from None
        except (Refused, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - whatever the application does, the sender gets an answer
            log.get().exception("application_failed", application=name)
            raise Refused(Reason.NO_ROOM, "the application failed") from None


def asserted_identities(request: Request) -> tuple[str, ...]:
    """
    Return the one or two identities of P-Asserted-Identity (RFC 3325 9.1).

    Raises:
        AnswerWith: 403, none, or a header that RFC 3325 does not allow.
    """
    values = request.message.all("p-asserted-identity")
    if not values:
        raise _forbidden("P-Asserted-Identity is missing")
    try:
        uris = tuple(one.uri for value in values for one in parse_list(value, "P-Asserted-Identity"))
    except MalformedSip as error:
        raise _forbidden(str(error)) from None
    schemes = [uri.partition(":")[0].lower() for uri in uris]
    known = set(schemes) <= {"sip", "sips", "tel"}
    if not known or len(uris) > 2 or (len(uris) == 2 and frozenset(schemes) not in _ACCEPTED_TOGETHER):
        raise _forbidden("P-Asserted-Identity is not one identity, or one sip and one tel")
    return uris


def respond(request: Request, answer: Answer) -> None:
    """Send the answer; with status 0 stay silent."""
    if answer.status:
        request.answer(answer.status, answer.phrase, answer.headers)


def refusal(error: Refused) -> Answer:
    """Return the answer that a refusal becomes."""
    return _refusal(error, ())


def _refusal(error: Refused, accepted: tuple[str, ...], links: tuple[str, ...] = ()) -> Answer:
    headers: list[tuple[str, str]] = []
    if error.status == 415:
        headers.append(("Accept", ", ".join((*(error.accept or accepted), *links))))
        headers.append(("Accept-Encoding", ", ".join(content_coding.CODINGS)))
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    headers.append(warning(str(error)))
    return Answer(error.status, error.phrase, tuple(headers))


def _of_error(error: PushError) -> Answer:
    headers = [warning(str(error))]
    if isinstance(error, UnknownCoding):
        headers.append(("Accept-Encoding", ", ".join(content_coding.CODINGS)))
    if isinstance(error, MalformedMime):
        return Answer(400, "Bad Request", tuple(headers))
    return Answer(error.sip_status, error.sip_reason, tuple(headers))


def _forbidden(text: str) -> AnswerWith:
    return AnswerWith(403, text, phrase="Forbidden")


def _essence(content_type: str) -> str:
    return media_type(content_type, "Content-Type").essence if content_type else ""


def _valid_until(request: Request) -> int | None:
    """Date + Expires, without Date from now on (RFC 3428 8); a NOTIFY's content has no end of its own."""
    if request.method != "MESSAGE":
        return None
    lifetime_s = seconds(request.message.first("expires"), "Expires")
    if lifetime_s is None or lifetime_s == 0:
        return None
    written = request.message.first("date")
    start_ms = clock.now_ms()
    if written and written.rstrip().endswith("GMT"):
        try:
            start_ms = int(parsedate_to_datetime(written).timestamp() * 1000)
        except (ValueError, OverflowError):
            start_ms = clock.now_ms()
    return min(start_ms + lifetime_s * 1000, _FOREVER_MS)
