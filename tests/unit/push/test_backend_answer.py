"""What a back end's HTTP answer means for the push and for its sender."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.backend_answer import Verdict, answer, judge, next_try_ms, no_answer
from omapush.push.retry import RetryPlan
from tests.harness import markdown
from tests.harness.markdown import ROOT

NOW_MS = 1_800_000_000_000
PLAN = RetryPlan(10, 1_000, 5_000)


@pytest.mark.req("PROP-CTRL-3")
@pytest.mark.parametrize(
    ("http", "kind", "sip"),
    [
        (200, "taken", 200),
        (299, "taken", 200),
        (302, "again", 480),
        (400, "refused", 400),
        (401, "again", 480),
        (403, "refused", 403),
        (410, "refused", 404),
        (409, "refused", 603),
        (429, "again", 480),
        (507, "again", 500),
        (500, "again", 480),
        (999, "again", 480),
        (0, "again", 480),
    ],
)
def test_each_status_has_its_meaning(http: int, kind: str, sip: int) -> None:
    assert judge(http)[:2] == (kind, sip)


def test_retry_after_goes_to_the_sender_of_what_may_be_repeated_only() -> None:
    assert answer(judge(503, 7), ()).headers == (("Retry-After", "7"),)
    assert answer(judge(507), ()).headers == (("Retry-After", "60"),)
    assert answer(judge(503, 10**9), ()).headers == (("Retry-After", "86400"),)
    assert answer(judge(403, 7), ()).headers == ()


def test_a_refused_type_names_those_of_the_application() -> None:
    assert dict(answer(judge(415), ("image/*",)).headers)["Accept"] == "image/*, application/vnd.oma.push"


@given(
    st.sampled_from(["refused", "again"]), st.integers(0, 699), st.text(max_size=20), st.integers(0, 86_400)
)
def test_a_verdict_comes_back_as_it_was_packed(kind: str, status: int, text: str, after_s: int) -> None:
    packed = Verdict("refused" if kind == "refused" else "again", status, text, after_s)

    assert Verdict.unpack(packed.pack()) == packed
    assert answer(packed, ()).status == status


@given(st.text(max_size=40))
def test_a_verdict_that_cannot_be_read_counts_as_taken(packed: str) -> None:
    read = Verdict.unpack(packed)

    assert read.kind in ("taken", "refused", "again")
    assert Verdict.unpack("x y z").status == 200


def test_the_wait_doubles_up_to_its_ceiling_and_obeys_the_back_end() -> None:
    def waits(tries: int, after_s: int = 0, jitter: float = 1.0) -> int | None:
        at = next_try_ms(judge(503, after_s), tries, PLAN, NOW_MS, jitter)
        return None if at is None else at - NOW_MS

    assert [waits(tries) for tries in (1, 2, 3, 4, 9, 10)] == [1_000, 2_000, 4_000, 5_000, 5_000, None]
    assert (waits(1, jitter=0.0), waits(1, 60)) == (500, 60_000)
    assert next_try_ms(judge(415), 1, PLAN, NOW_MS, 0.0) is None


def test_what_went_wrong_is_told_in_short() -> None:
    verdict = no_answer("x\n" * 500)

    assert (verdict.kind, verdict.status) == ("again", 480)
    assert len(verdict.text) <= 200
    assert verdict.text.isprintable()


def test_the_table_of_the_page_is_the_table_of_the_code() -> None:
    page = (ROOT / "docs" / "hosting.md").read_text()
    rows = list(markdown.rows(markdown.section(page, "What the back end's answer means")))
    written = {
        int(code): (kind, int(sip.split()[0]))
        for codes, kind, sip, _ in rows
        for code in codes.split(", ")
        if code.isdigit()
    }

    from omapush.push.backend_answer import TABLE

    assert written == {code: (row.kind, row.status) for code, row in TABLE.items()}
