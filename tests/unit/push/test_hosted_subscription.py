"""What a hosted application subscribes to, and which pushes of NOTIFYs reach it (PRA-SUB-1, PRA-NOT-1..3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import Hosted
from omapush.push.hosted import HostedPush
from omapush.push.hosted_subscription import accept, admit_notified, plan_of, within_dialog
from omapush.push.inbound import Answer
from omapush.push.values import target
from omapush.push.watch import Plan
from omapush.push.watch_rules import KILLS
from tests.unit.push.test_hosted import ARRIVED, NOW_MS

BASE = Plan("sip:psa@home1.example", "127.0.0.1:5070", "home1.example", "as-then-user", 600_000, 1, 2)
OURS = "sip:mms@as.example"
THEIRS = "sip:psa@other.example"
NOTIFIED = ARRIVED._replace(request_uri="sip:127.0.0.1:5070", asserted="", accept_contact="")


def admitted(terms: Hosted | None = None, **values: object) -> HostedPush | Answer:
    arrived = NOTIFIED._replace(**values)  # type: ignore[arg-type]
    return admit_notified(
        arrived, "mms.ua", terms or Hosted(), recipient=OURS, notifier=THEIRS, now_ms=NOW_MS
    )


@pytest.mark.req("PRA-SUB-1")
def test_an_application_subscribes_in_its_own_name_to_content_that_it_takes() -> None:
    plan = plan_of(BASE, "mms.ua", Hosted(content_types=("image/*",)), identity=OURS, expires_s=900)

    assert (plan.sender_uri, plan.identity, plan.expires_s) == (OURS, "as", 900)
    assert plan.event == "ua-profile;profile-type=oma-app"
    assert plan.headers == (
        "Accept: image/*, application/vnd.oma.push",
        "Accept-Encoding: gzip, deflate, identity",
        'Accept-Contact: *;+g.oma.pusheventapp="mms.ua"',
    )
    assert plan.standing


@pytest.mark.parametrize(
    ("patterns", "value"),
    [
        ((), "*/*"),
        (("text/plain", "image/*"), "text/plain, image/*, application/vnd.oma.push"),
        (("text/plain", "application/vnd.*"), "*/*"),
        (("*",), "*/*"),
        (("text/[ab]",), "*/*"),
        (("text/plain\r\nX: y",), "*/*"),
        (("application/vnd.oma.push",), "application/vnd.oma.push"),
    ],
)
def test_patterns_that_no_media_range_can_say_ask_for_everything(
    patterns: tuple[str, ...], value: str
) -> None:
    assert accept(patterns) == value


@pytest.mark.req("PRA-NOT-2", "PRA-SUB-2")
def test_the_push_of_a_notify_is_for_who_subscribed_and_its_sender_is_whom_the_dialog_vouches_for() -> None:
    push = admitted()

    assert isinstance(push, HostedPush)
    assert (push.application, push.recipient, push.sender) == ("mms.ua", OURS, THEIRS)
    assert (push.method, push.content, push.content_type) == ("NOTIFY", b"hello", "text/plain")
    assert push.id.startswith(target(OURS))
    assert push.id != getattr(admitted(cseq=11), "id", push.id)
    asserted = admitted(asserted="<sip:mmsc@other.example>")
    assert getattr(asserted, "sender", "") == "sip:mmsc@other.example"


@pytest.mark.req("PRA-NOT-1")
@pytest.mark.parametrize(
    ("terms", "values", "status"),
    [
        (Hosted(senders=("sip:*@home1.example",)), {}, 403),
        (Hosted(senders=("sip:*@other.example",)), {"asserted": "<sip:a@evil.example>"}, 403),
        (Hosted(), {"asserted": '"'}, 403),
        (Hosted(content_types=("image/*",)), {}, 415),
        (Hosted(max_bytes=4), {}, 413),
        (Hosted(), {"content_encoding": "br"}, 415),
        (Hosted(), {"content_type": ""}, 400),
        (Hosted(), {"require": "100rel"}, 420),
        (Hosted(), {"expires": "1", "date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 403),
    ],
)
def test_what_is_not_taken_is_refused_without_ending_the_subscription(
    terms: Hosted, values: dict[str, object], status: int
) -> None:
    answer = admitted(terms, **values)

    assert isinstance(answer, Answer)
    assert answer.status == status


@pytest.mark.req("PRA-NOT-1")
@given(st.integers(200, 699), st.sampled_from([(), (("Retry-After", "7"),), (("Warning", "399 a b"),)]))
def test_no_refusal_within_a_dialog_ends_it(status: int, headers: tuple[tuple[str, str], ...]) -> None:
    answer = within_dialog(Answer(status, "Words", headers))

    assert answer.status not in KILLS
    assert set(headers) <= set(answer.headers)
    if status not in KILLS:
        assert answer == Answer(status, "Words", headers)
    if status == 480:
        assert dict(answer.headers)["Retry-After"] == ("7" if "Retry-After" in dict(headers) else "60")
