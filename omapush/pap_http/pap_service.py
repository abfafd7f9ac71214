"""PAP operations of an authenticated initiator: a document comes in, a document goes out (docs/pap.md)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import MalformedMime, MalformedPap
from omapush.pap_http.capability_service import CapabilityService, with_profile
from omapush.pap_http.intake import Intake
from omapush.pap_http.pap_known import KnownPushes
from omapush.protocol import pap_reader
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_writer import write
from omapush.protocol.trace_context import TraceContext
from omapush.push import pap_offer, progress
from omapush.push.acceptance import NotTaken
from omapush.push.account import Account
from omapush.push.limits import LimitReached
from omapush.push.outcome import TAKEN_CODE
from omapush.store.client import Store

SENDER_NAME = "omapush"
_LONG_BYTES: Final = 65_536
"A larger document is read, or written, in a thread."
_PUBLIC_ID: Final = re.compile(rb"//DTD PAP ([0-9]\.[0-9])//EN")
_PROLOG_BYTES: Final = 4_096
"Of a body, in which a DOCTYPE is looked for."
_USUAL_VERSION: Final = "2.1"
"That of an answer to a document that names none."
_NO_REQUEST: Final = (
    "a gateway is asked by push-message, cancel-message, statusquery-message or ccq-message, by nothing else"
)
_LONG_ANSWER: Final = 500
"Addresses from which on a document counts as long to write."


@dataclass(frozen=True, slots=True)
class PapAnswer:
    """One PAP document for the initiator, and how to count it."""

    body: bytes
    operation: str
    code: str
    content_type: str = "application/xml"
    push_id: str = ""
    "Of the push that it is about; empty: of none."
    retry_after_s: int = 0
    "When the same may be taken; 0: nothing is said about that."


class PapService:
    """Answers PAP documents; one for the whole process."""

    def __init__(self, config: Config, store: Store, intake: Intake) -> None:
        self._config = config
        self._store = store
        self._intake = intake
        self._capabilities = CapabilityService(store)
        self._known = KnownPushes(store, retention_s=config.delivery.retention_s)

    async def answer(
        self, account: Account, content_type: str, body: bytes, asked: TraceContext | None = None
    ) -> PapAnswer:
        """
        Return the answer to one PAP request; `asked` is the trace that it belongs to.

        Raises:
            TryLater: the submission cannot be stored now (HTTP 503); nothing was promised.
        """
        try:
            submission = await self._read(content_type, body)
        except (MalformedPap, MalformedMime) as error:
            log.get().info("pap_bad_message", initiator=account.name, problem=str(error))
            return _bad_message(error, _version_named(body))
        document = submission.document
        match document.operation:
            case pap.PushMessage() as message:
                try:
                    response = await self._push(account, message, submission, asked)
                except LimitReached as reached:
                    return _limited(account, message.push_id, document.version, reached)
            case pap.StatusQuery() as query:
                response = await asyncio.to_thread(self._known.status, account, query)
            case pap.CancelMessage() as cancel:
                response = await asyncio.to_thread(self._known.cancel, account, cancel)
            case pap.CcqMessage() as ccq:
                return await self._query(account, ccq, document.version)
            case _:
                return _bad_message(MalformedPap("pap", _NO_REQUEST), document.version)
        body = await self._written(response, document.version)
        operation = type(document.operation).__name__
        return PapAnswer(body, operation, _code(response), push_id=getattr(document.operation, "push_id", ""))

    async def _read(self, content_type: str, body: bytes) -> pap_reader.Submission:
        """A body that takes long to read is read in a thread: others come in meanwhile."""
        read = partial(pap_reader.read, content_type, body, max_addresses=self._config.api.max_addresses)
        return read() if len(body) <= _LONG_BYTES else await asyncio.to_thread(read)

    async def _written(self, response: pap.Operation, version: str) -> bytes:
        many = isinstance(response, pap.StatusQueryResponse | pap.CancelResponse) and (
            sum(len(one.addresses) for one in response.results) > _LONG_ANSWER
        )
        done = partial(write, response, version=version)
        return await asyncio.to_thread(done) if many else done()

    async def _query(self, account: Account, ccq: pap.CcqMessage, version: str) -> PapAnswer:
        response, profile = await asyncio.to_thread(self._capabilities.query, account, ccq)
        if profile is None:
            return PapAnswer(write(response, version=version), "CcqMessage", response.code)
        body, content_type = with_profile(response, profile, version)
        return PapAnswer(body, "CcqMessage", response.code, content_type)

    async def _push(
        self,
        account: Account,
        message: pap.PushMessage,
        submission: pap_reader.Submission,
        asked: TraceContext | None,
    ) -> pap.Operation:
        assert submission.content is not None  # noqa: S101 - the reader gives no push without content
        assumed = submission.capabilities
        compare = partial(self._capabilities.compared, part=assumed) if assumed is not None else None
        try:
            offer = pap_offer.offer(message, submission.content)
            accepted = await self._intake.take(account, offer, compare, asked=asked)
        except LimitReached:
            raise
        except NotTaken as refusal:
            log.get().info("push_refused", initiator=account.name, push_id=message.push_id, why=str(refusal))
            desc = pap_offer.in_words_of_pap(refusal)
            return _push_response(message.push_id, refusal.code, desc, clock.now_ms())
        now_ms = accepted.push.accepted_ms
        response = _push_response(message.push_id, TAKEN_CODE, "accepted for delivery", now_ms)
        return (
            replace(response, progress_notes=progress.notes(accepted)) if message.progress_notes else response
        )


def _push_response(push_id: str, code: str, desc: str, now_ms: int) -> pap.PushResponse:
    return pap.PushResponse(push_id, code, desc, now_ms // 1000, SENDER_NAME)


def _limited(account: Account, push_id: str, version: str, reached: LimitReached) -> PapAnswer:
    """A limit of the initiator's, named in the answer; Retry-After says when it may be another matter."""
    log.get().info("push_refused", initiator=account.name, push_id=push_id, why=str(reached))
    response = _push_response(push_id, reached.code, reached.problem, clock.now_ms())
    return PapAnswer(
        write(response, version=version),
        "PushMessage",
        reached.code,
        retry_after_s=reached.retry_after_s,
        push_id=push_id,
    )


def _version_named(body: bytes) -> str:
    """The PAP version to answer in when a document could not be read: that of its DOCTYPE, if it is ours."""
    found = _PUBLIC_ID.search(body, 0, _PROLOG_BYTES)
    named = found[1].decode() if found else ""
    return named if named in pap.OUR_VERSIONS else _USUAL_VERSION


def _bad_message(error: MalformedPap | MalformedMime, version: str) -> PapAnswer:
    fragment = error.fragment if isinstance(error, MalformedPap) else ""
    answer = pap.BadMessage(error.pap_code, str(error), fragment)
    return PapAnswer(write(answer, version=version), "bad-message", error.pap_code)


def _code(response: pap.Operation) -> str:
    match response:
        case pap.PushResponse(code=code) | pap.CcqResponse(code=code):
            return code
        case pap.CancelResponse(results=(first, *_)):
            return first.code
        case pap.StatusQueryResponse(results=(first, *_)):
            return first.code
        case _:
            return ""
