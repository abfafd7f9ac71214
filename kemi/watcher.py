"""The watcher process: it stores what NOTIFYs of the reg event, and answers to our SUBSCRIBEs, mean."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import holding
import KSR
import ksr_reader
import metrics
import suspended
import window
from settings import Settings

from omapush import clock, log
from omapush.errors import MalformedXml, PushError, TryLater
from omapush.protocol import reginfo
from omapush.push import reginfo_merge, registration
from omapush.push.inbound import Answer
from omapush.push.reg_watch import FinalAnswer, Notified, is_news, on_broken_document, on_document, on_final
from omapush.push.reg_watch import on_notify as judge_notify
from omapush.push.reginfo_merge import Told, merge_reginfo
from omapush.push.registration import Doubt, Registration
from omapush.push.watch import Core, Watch
from omapush.store import client, codec, registrations, watches
from omapush.store.registrations import Rule
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
    cseq: int
    call: str

    def pack(self) -> str:
        """Return it as text that begins as no reference of a delivery does."""
        return f"w|{self.sender}|{self.cseq}|{self.call}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, sender, cseq, call = text.split("|", 3)
        return Reference(int(sender), int(cseq), call)


class _Judged(NamedTuple):
    """What one NOTIFY comes to."""

    answer: Answer
    change: Change | None = None
    rules: Mapping[str, Rule] = MappingProxyType({})
    "What it changes in registration records."
    learnt: Core = Core()
    s_cscf: str = ""


_Waiting = tuple[str, Notified]
"A suspended transaction and its NOTIFY."


class WatchCompleter:
    """State of the one process; driven by Kamailio's timer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._plan = settings.watch_plan
        self._store = client.connect(settings.config.redis)
        self._answers: list[FinalAnswer] = []
        self._counts = metrics.Counts()

    def run_once(self) -> None:
        """Store and answer all that waits; answers that Redis did not take are kept and tried again."""
        while self._take_notifies() or self._take_answers():
            self._counts.flush()

    # NOTIFYs -------------------------------------------------------------------------------------

    def _take_notifies(self) -> int:
        batch: list[_Waiting] = []
        while len(batch) < _MOST and (queued := ksr_reader.next_queued(NOTIFIES)):
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
        found = watches.read_all(self._store, [notified.call_id for _, notified in now])
        cores = watches.cores(self._store, (stored.watch.s_cscf for stored in found if stored.watch))
        judged = [
            self._judge(stored, notified, cores) for stored, (_, notified) in zip(found, now, strict=True)
        ]
        # The records come first: a NOTIFY that is not answered is repeated, and may be merged twice.
        changed = registrations.change(self._store, _joined(judged))
        won = iter(watches.replace(self._store, [one.change for one in judged if one.change]))
        lost: list[_Waiting] = []
        for result, asked in zip(judged, now, strict=True):
            if result.change is not None and not next(won):
                lost.append(asked)
                continue
            watches.remember_core(self._store, result.s_cscf, result.learnt)
            self._counts.add("registrations_notifies_total", str(result.answer.status))
            suspended.resume(asked[0], result.answer)
        self._tell(changed)
        return lost + later

    def _judge(self, stored: Stored, notified: Notified, cores: dict[str, Core]) -> _Judged:
        watch = stored.watch
        if watch is None:
            return _Judged(judge_notify(None, notified, self._plan, jitter=0.0, gone=False).answer)
        core = cores[watch.s_cscf]
        told, problem = _document(notified, watch, core)
        gone = told is not None and reginfo_merge.nobody_left(told, watch.aor)
        taken = judge_notify(watch, notified, self._plan, jitter=random.random(), gone=gone)
        after = taken.watch
        if after is None:
            return _Judged(taken.answer)
        rules: dict[str, Rule] = {}
        if told is not None and is_news(watch, told.document.version):
            rules = _rules(told, watch.aor)
            version, full = told.document.version, told.document.full
            after = on_document(after, version, full=full, jitter=random.random())
        elif problem:
            log.get().warning("reginfo_unread", aor=watch.aor, problem=problem, action="facts are kept")
            rules = {watch.aor: partial(_unread, problem, notified.at_ms)}
            after = on_broken_document(after)
        tags = told is not None and told.core_reports_tags and not core.push_tags
        identity = after.identity if after.state == "active" and after.identity != core.identity else ""
        return _Judged(taken.answer, Change(stored.data, after), rules, Core(identity, tags), watch.s_cscf)

    def _tell(self, changed: registrations.Changed) -> None:
        """What else has to happen now that records are others."""
        hurry(self._store, changed)
        if changed.devices:
            holding.wake(self._store, changed.devices)

    # Answers -------------------------------------------------------------------------------------

    def _take_answers(self) -> int:
        while len(self._answers) < _MOST and (queued := ksr_reader.next_queued(ANSWERS)):
            answer = codec.final_answer(base64.b64decode(queued[1]))
            self._answers.append(answer)
            window.add_ended(window_name(Reference.unpack(queued[0]).sender), 1)
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
        found = watches.read_all(self._store, [answer.call for answer in answers])
        tried: list[FinalAnswer] = []
        changes: list[Change] = []
        doubts: dict[str, Rule] = {}
        for answer, stored in zip(answers, found, strict=True):
            watch = stored.watch
            after = on_final(watch, answer, self._plan, jitter=random.random()) if watch else None
            if after is None:
                continue  # to a dialog that is given up
            tried.append(answer)
            changes.append(Change(stored.data, after))
            _log_answer(after, answer)
            if answer.code == 480:
                doubt = Doubt("subscribe", "SUBSCRIBE was answered 480: not registered there", answer.at_ms)
                doubts[after.aor] = partial(_doubt, doubt)
        won = watches.replace(self._store, changes)
        registrations.change(self._store, doubts)
        return [answer for answer, is_done in zip(tried, won, strict=True) if not is_done]


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


def _document(notified: Notified, watch: Watch, core: Core) -> tuple[Told | None, str]:
    """Return what the body says, or why it cannot be read; neither when there is none."""
    if not notified.body:
        return None, ""
    try:
        document = reginfo.read(notified.body, notified.content_type)
    except MalformedXml as error:
        return None, str(error)
    reports_tags = core.push_tags or reginfo_merge.reports_tags(document)
    return Told(document, notified.call_id, watch.s_cscf, reports_tags, notified.at_ms), ""


def _rules(told: Told, watched: str) -> dict[str, Rule]:
    """One document tells of every identity of the implicit set."""
    return {
        aor: partial(_merge, aor, element, told)
        for aor, element in reginfo_merge.identities(told, watched).items()
    }


def _merge(
    aor: str, element: reginfo.RegistrationElement | None, told: Told, old: Registration | None
) -> Registration | None:
    return merge_reginfo(old, aor, element, told)


def _unread(problem: str, at_ms: int, old: Registration | None) -> Registration | None:
    return None if old is None else reginfo_merge.unreadable(old, problem, at_ms)


def _doubt(doubt: Doubt, old: Registration | None) -> Registration | None:
    return None if old is None else registration.doubted(old, doubt)


def _joined(judged: Iterable[_Judged]) -> dict[str, Rule]:
    """Two dialogs of one implicit set may speak about the same record."""
    by_user: dict[str, list[Rule]] = {}
    for one in judged:
        for aor, rule in one.rules.items():
            by_user.setdefault(aor, []).append(rule)
    return {aor: partial(_in_turn, rules) for aor, rules in by_user.items()}


def _in_turn(rules: list[Rule], old: Registration | None) -> Registration | None:
    for rule in rules:
        old = rule(old) or old
    return old


def _log_answer(watch: Watch, answer: FinalAnswer) -> None:
    if answer.code >= 300:
        log.get().info(
            "watch_refused",
            aor=watch.aor,
            code=answer.code,
            local=answer.local,
            state=watch.state,
            again_ms=watch.due_ms,
        )
