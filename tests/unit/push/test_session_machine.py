"""Any order of events: m-lines keep their places, results stay, and an end is reached."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from omapush.push.dialog import Heard
from omapush.push.session import CONFIRMED, LOST, Ending, Session, ended
from omapush.push.session_answers import Said, on_answer
from omapush.push.session_offer import join
from omapush.push.session_requests import Asked, on_request
from omapush.push.session_steps import Here, Step
from tests.harness import records
from tests.unit.push.sessions import CONTACT, HERE, NOW, TAG, gathering, sdp, stepped

ENDINGS = st.sampled_from([CONFIRMED, LOST, 413, 415])


class Machine(RuleBasedStateMachine):
    """One session, its device, its worker, and processes that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = NOW
        self.number = 2
        self.session: Session = gathering(2)
        self.here = HERE
        self.cseq = 0
        self.answerable: list[int] = []
        self.lines: dict[int, str] = {}
        self.endings: dict[str, Ending] = {}
        self.zero: set[int] = set()

    # Events --------------------------------------------------------------------------------------

    @rule(passed_ms=st.sampled_from([0, 1, 2_000, 10_000, 60_000]), lives=st.booleans() | st.just(True))
    def looked_at(self, passed_ms: int, lives: bool) -> None:
        self.now_ms += passed_ms
        taken = stepped(self.session, self.now_ms, self.here, lives=lives)
        if taken.session is None:
            assert self.session.state == "ended"
            return
        self._sent(taken)
        self.session = taken.session

    def _sent(self, taken: Step) -> None:
        if taken.request is None:
            return
        assert self.session.asked == "" or taken.request.method == "BYE" or self._lost()
        assert taken.request.dialog is not None
        self.answerable.append(taken.request.dialog.cseq)

    def _lost(self) -> bool:
        return (self.session.node, self.session.run) != (self.here.node, self.here.run) or (
            self.now_ms >= self.session.asked_ms + 40_000
        )

    @precondition(lambda self: self.answerable)
    @rule(
        code=st.sampled_from([200, 200, 200, 408, 481, 486, 487, 488, 491, 500, 603]),
        refused=st.sets(st.integers(0, 6), max_size=3),
        enough=st.booleans() | st.just(True),
    )
    def answered(self, code: int, refused: set[int], enough: bool) -> None:
        cseq = self.answerable.pop()
        lines = max((one.line for one in self.session.streams), default=-1) + 1
        closed = {one.line for one in self.session.streams if one.state in ("closing", "closed")}
        ports = [0 if line in refused | closed else 7394 for line in range(lines)]
        body = sdp(ports if enough else ports[:-1])
        said = Said(cseq, code, False, "", "", 0, Heard(TAG, cseq, CONTACT, ""), body, self.now_ms)
        self.session = on_answer(self.session, said, jitter=0.5) or self.session

    @rule(code=ENDINGS, which=st.integers(0, 6))
    def reported(self, code: int, which: int) -> None:
        agreed = [one for one in self.session.streams if one.state == "agreed"]
        if agreed:
            stream = agreed[which % len(agreed)]
            self.session = ended(self.session, (stream,), Ending("msrp", code, "", self.now_ms))

    @rule(which=st.integers(0, 6))
    def withdrawn(self, which: int) -> None:
        if live := self.session.live:
            ending = Ending("us", 0, "cancelled", self.now_ms)
            self.session = ended(self.session, (live[which % len(live)],), ending)

    @rule()
    def joined(self) -> None:
        self.number += 1
        stream = records.stream(f"ticket{self.number}", self.number)
        asserted = self.session.asserted
        joined = join(self.session, stream, asserted=asserted, most=7, now_ms=self.now_ms)
        self.session = joined or self.session

    @rule(method=st.sampled_from(["BYE", "INVITE", "UPDATE"]), zero=st.integers(0, 6))
    def asked(self, method: str, zero: int) -> None:
        self.cseq += 1
        dialog = self.session.dialog
        lines = max((one.line for one in self.session.streams), default=-1) + 1
        closed = {one.line for one in self.session.streams if one.state == "closed"}
        body = sdp([0 if line in closed | {zero} else 7394 for line in range(lines)])
        heard = Heard(TAG, self.cseq, CONTACT, "")
        asked = Asked(
            *(method, dialog.call_id, dialog.local_tag, heard),
            *("application/sdp", b"" if method == "BYE" else body, "sip:psa", self.now_ms),
        )
        answer, new = on_request(self.session, asked)
        assert answer.status in (200, 400, 481, 488, 491, 500)
        self.session = new or self.session

    @rule(run=st.sampled_from(["r", "r2", "r3"]))
    def restarted(self, run: str) -> None:
        self.here = Here(HERE.sender, HERE.node, run)

    # What holds ----------------------------------------------------------------------------------

    @invariant()
    def m_lines_keep_their_places(self) -> None:
        places = {one.line: one.path for one in self.session.streams if one.line >= 0}
        assert sorted(places) == list(range(len(places)))
        settled = {
            one.line: one.path
            for one in self.session.streams
            if one.line >= 0 and one.state in ("agreed", "closed") and one.peer_path
        }
        for line, path in settled.items():
            assert self.lines.setdefault(line, path) == path

    @invariant()
    def a_result_stays(self) -> None:
        for one in self.session.streams:
            if one.path in self.endings:
                assert one.ending == self.endings[one.path]
            elif one.ending is not None:
                self.endings[one.path] = one.ending
            assert one.is_live == (one.ending is None)

    @invariant()
    def nothing_lives_in_a_session_that_has_ended(self) -> None:
        if self.session.state == "ended":
            assert not self.session.live
            assert self.session.asked == ""

    def teardown(self) -> None:
        """Left alone without a worker it comes to its end, and is forgotten."""
        for _ in range(12):
            self.now_ms += 700_000
            taken = stepped(self.session, self.now_ms, self.here, lives=False)
            if taken.session is None:
                return
            self.session = taken.session
        raise AssertionError(f"never ends: {self.session}")


TestSessions = Machine.TestCase
TestSessions.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
