"""The watcher process: it stores what NOTIFYs of watched packages, and answers to our SUBSCRIBEs, mean."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import hosting
import in_flight
import KSR
import ksr_reader
import metrics
import suspended
import window
from hosted_content import HostedContent
from pace import Pace
from package import Document, Effects, Package, joined
from presence import Presence
from reg_event import RegEvent
from settings import Settings

from omapush import clock, log
from omapush.errors import MalformedXml, PushError, TryLater
from omapush.push.hosted import HostedPush
from omapush.push.hosted_subscription import admit_notified
from omapush.push.inbound import Answer
from omapush.push.subscribe import PACKAGE as CONTENT_EVENT
from omapush.push.watch import PRESENCE, REG, Core, Watch, event_of, place_of_call
from omapush.push.watch_rules import (
    NO_SUBSCRIPTION,
    FinalAnswer,
    Notified,
    is_news,
    on_broken_document,
    on_document,
    on_final,
    on_older_document,
)
from omapush.push.watch_rules import on_notify as judge_notify
from omapush.store import capabilities, client, codec, registrations, watches
from omapush.store.watches import Change, Stored

NOTIFIES = "watch_notifies"
ANSWERS = "watch_answers"
_MOST = 64
_ROUNDS = 64
"Times that a batch is tried again because of other writers, or of several NOTIFYs in one dialog."
_REST_S = 0.25


def window_name(sender: int) -> str:
    """Return the name under which a sender's SUBSCRIBEs in flight are counted, apart from its pushes."""
    return f"{sender}.watch"


def is_reference(text: str) -> bool:
    """Tell whether it is the reference of a SUBSCRIBE of ours."""
    return text.startswith("w|")


class Reference(NamedTuple):
    """What comes back with the answer to a SUBSCRIBE."""

    sender: int
    hop: str
    "Short name of the next hop in whose window it has its place."
    cseq: int
    call: str

    def pack(self) -> str:
        """Return it as text that begins as no reference of a delivery does."""
        return f"w|{self.sender}|{self.hop}|{self.cseq}|{self.call}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, sender, hop, cseq, call = text.split("|", 4)
        return Reference(int(sender), hop, int(cseq), call)


class _Judged(NamedTuple):
    """What one NOTIFY comes to."""

    answer: Answer
    counter: str
    change: Change | None = None
    effects: Effects = Effects()
    s_cscf: str = ""
    push: HostedPush | None = None
    "To be stored before the answer, which is then the business of who stores it."


_Waiting = tuple[str, Notified]
"A suspended transaction and its NOTIFY."


_PACKAGES: Mapping[str, Package] = {REG: RegEvent(), PRESENCE: Presence()}
_CONTENT: Package = HostedContent()


class WatchCompleter:
    """State of the one process; driven by Kamailio's timer."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._answers: list[FinalAnswer] = []
        self._counts = metrics.Counts()
        self._pace = Pace()
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Judge what comes as these settings say from now on."""
        self._settings = settings
        self._plans = settings.watch_plans
        self._subscribers = settings.subscribers

    def run_once(self) -> None:
        """Store and answer what waits; answers that Redis did not take are kept and tried again."""
        while self._take_notifies() or self._take_answers():
            self._counts.flush()
            self._pace.worked()
            if self._pace.is_over():
                return
        self._pace.rest()

    # NOTIFYs -------------------------------------------------------------------------------------

    def _take_notifies(self) -> int:
        batch: list[_Waiting] = []
        while len(batch) < _MOST and (queued := suspended.next_waiting(NOTIFIES)):
            batch.append((queued[0], codec.notified(base64.b64decode(queued[1]))))
        waiting = batch
        try:
            for _ in range(_ROUNDS):
                if not waiting:
                    return len(batch)
                waiting = self._round(waiting)
            raise TryLater(f"{waiting[0][1].call_id} is changed too often at once")
        except PushError as error:
            log.get().warning("notify_not_stored", problem=str(error), refused=len(waiting))
            for transaction, _ in waiting:
                suspended.refuse(transaction)
        return len(batch)

    def _round(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Answer the first NOTIFY of each dialog; returns those that are still to be done."""
        first: dict[str, _Waiting] = {}
        later: list[_Waiting] = []
        for one in waiting:
            if first.setdefault(one[1].call_id, one) is not one:
                later.append(one)
        now = list(first.values())
        found = self._read(notified.call_id for _, notified in now)
        cores = watches.cores(self._store, (stored.watch.s_cscf for stored in found if stored.watch))
        judged = [
            self._judge(stored, notified, cores) for stored, (_, notified) in zip(found, now, strict=True)
        ]
        # The records come first: a NOTIFY that is not answered is repeated, and may be merged twice.
        changed = self._apply([one.effects for one in judged])
        won = iter(watches.replace(self._store, [one.change for one in judged if one.change]))
        lost: list[_Waiting] = []
        for result, asked in zip(judged, now, strict=True):
            if result.change is not None and not next(won):
                lost.append(asked)
                continue
            watches.remember_core(self._store, result.s_cscf, result.effects.learnt)
            self._counts.add(result.counter, str(result.answer.status))
            _answer(asked, result)
        self._tell(changed)
        return lost + later

    def _read(self, calls: Iterable[str]) -> list[Stored]:
        """Return the watches that Call-IDs of ours belong to: `admit` has seen that they are."""
        places = [place_of_call(call) for call in calls]
        return watches.read_all(self._store, [place for place in places if place is not None])

    def _judge(self, stored: Stored, notified: Notified, cores: dict[str, Core]) -> _Judged:
        watch = stored.watch
        package = _CONTENT if notified.package == CONTENT_EVENT else _PACKAGES[notified.package]
        counter = package.notifies
        plan = self._plans.get(watch.package) if watch else None
        if watch is None or plan is None:
            return _Judged(NO_SUBSCRIPTION, counter)
        core = cores[watch.s_cscf]
        document, problem = _document(package, notified, watch, core)
        gone = document is not None and document.gone
        taken = judge_notify(watch, notified, plan, jitter=random.random(), gone=gone)
        after = taken.watch
        if after is None:
            return _Judged(taken.answer, counter)
        effects = package.on_notify(after, core)
        if document is not None and is_news(watch, document.version):
            effects = effects.and_then(document.effects(after))
            after = on_document(after, document.version, full=document.full, jitter=random.random())
        elif document is not None and document.version < watch.doc_version:
            after = on_older_document(after, document.version)
        elif problem:
            effects = effects.and_then(package.on_unread(watch, problem, notified.at_ms))
            after = on_broken_document(after, problem, jitter=random.random())
        answer, push = self._push(watch, notified, taken.answer)
        return _Judged(answer, counter, Change(stored.data, after), effects, watch.s_cscf, push)

    def _push(self, watch: Watch, notified: Notified, answer: Answer) -> tuple[Answer, HostedPush | None]:
        """What a NOTIFY brings to a hosted application; one that it does not take is refused alone."""
        if notified.pushed is None:
            return answer, None
        application = self._subscribers[watch.package]
        push = admit_notified(
            notified.pushed,
            application,
            self._settings.config.hosted[application],
            recipient=self._plans[watch.package].sender_uri,
            notifier=watch.aor,
            now_ms=notified.at_ms,
        )
        if isinstance(push, HostedPush):
            return answer, push
        metrics.count_hosted(application, push.status)
        return push, None

    def _apply(self, effects: Sequence[Effects]) -> registrations.Changed:
        """Two dialogs of one implicit set may speak about the same record."""
        capabilities.change(self._store, joined(one.capabilities for one in effects), clock.now_ms())
        return registrations.change(self._store, joined(one.registrations for one in effects))

    def _tell(self, changed: registrations.Changed) -> None:
        """What else has to happen now that records are others."""
        hurry(self._store, changed)

    # Answers -------------------------------------------------------------------------------------

    def _take_answers(self) -> int:
        while len(self._answers) < _MOST and (queued := ksr_reader.next_queued(ANSWERS)):
            answer = codec.final_answer(base64.b64decode(queued[1]))
            self._answers.append(answer)
            reference = Reference.unpack(queued[0])
            # When it left does not matter: this window counts nothing that is young apart.
            end = in_flight.LOST if answer.local else in_flight.LATE
            window.add_ended({(window_name(reference.sender), reference.hop, end): 1})
            code = "timeout" if answer.local else str(answer.code)
            self._counts.add("sip_responses_total", "SUBSCRIBE", code)
        taken = len(self._answers)
        try:
            for _ in range(_ROUNDS):
                if not self._answers:
                    return taken
                self._answers = self._store_answers(self._answers)
            raise TryLater("answers to SUBSCRIBEs lose against other writers")
        except PushError as error:
            log.get().warning("store_trouble", process="watcher", problem=str(error), kept=taken)
            time.sleep(_REST_S)
        return 0

    def _store_answers(self, answers: list[FinalAnswer]) -> list[FinalAnswer]:
        """Return the answers whose watch another writer changed meanwhile."""
        found = self._read(answer.call for answer in answers)
        tried: list[FinalAnswer] = []
        changes: list[Change] = []
        effects: list[Effects] = []
        for answer, stored in zip(answers, found, strict=True):
            watch = stored.watch
            plan = self._plans.get(watch.package) if watch else None
            if watch is None or plan is None:
                continue
            after = on_final(watch, answer, plan, jitter=random.random())
            if after is None:
                continue  # to a dialog that is given up
            tried.append(answer)
            changes.append(Change(stored.data, after))
            effects.append(_PACKAGES.get(watch.package, _CONTENT).on_answer(after, answer))
            _log_answer(after, answer)
        self._apply(effects)
        won = watches.replace(self._store, changes)
        return [answer for answer, is_done in zip(tried, won, strict=True) if not is_done]


def _answer(asked: _Waiting, result: _Judged) -> None:
    transaction, notified = asked
    if result.push is not None:
        suspended.pass_on(transaction, hosting.QUEUE, hosting.pack(notified.answer_headers, result.push))
    else:
        suspended.resume(transaction, suspended.with_headers(result.answer, notified.answer_headers))


def hurry(store: client.Store, changed: registrations.Changed) -> None:
    """Log contradictions and ask the reg event about them now."""
    if not changed.contradicted:
        return
    for aor, why in changed.contradicted.items():
        log.get().warning("registration_contradicted", aor=aor, why=why, action="the reg event is asked")
    KSR.xhttp_prom.counter_inc_l0("registrations_contradictions_total", len(changed.contradicted))
    watches.hurry(store, changed.contradicted, clock.now_ms())


def pack_answer(answer: FinalAnswer) -> str:
    """Return an answer as text for the queue."""
    return base64.b64encode(codec.encode(answer)).decode()


def pack_notify(notified: Notified) -> str:
    """Return a NOTIFY as text for the queue."""
    return base64.b64encode(codec.encode(notified)).decode()


def _document(package: Package, notified: Notified, watch: Watch, core: Core) -> tuple[Document | None, str]:
    """Return what the body says, or why it cannot be read; neither when there is none."""
    if not notified.body:
        return None, ""
    try:
        return package.read(notified, watch, core), ""
    except MalformedXml as error:
        return None, str(error)


def _log_answer(watch: Watch, answer: FinalAnswer) -> None:
    if answer.code >= 300:
        log.get().info(
            "watch_refused",
            aor=watch.aor,
            package=event_of(watch.package),
            code=answer.code,
            local=answer.local,
            state=watch.state,
            again_ms=watch.due_ms,
        )
