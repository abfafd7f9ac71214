"""The media worker against an MSRP peer that shares no code with it: connections, chunks, failures."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from omapush.push.session import CONFIRMED, LOST, TAKEN
from omapush.store import keys, msrp_workers
from tests.conftest import MakeStack
from tests.fakes.msrp_peer import Manners, MsrpPeer, Session
from tests.harness.media import Agreed, Media
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

LARGE = os.urandom(1_000_000)
SETTINGS: Settings = {
    "msrp": {"connect_s": 0.5, "idle_s": 0.7, "report_s": 0.5, "total_s": 20.0, "chunk_bytes": 65_536}
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("media"), SETTINGS, ("redis", "msrp")) as running:
        yield running


@pytest.fixture
def media(stack: Stack) -> Media:
    return Media(stack)


@pytest.fixture
def peer() -> Iterator[MsrpPeer]:
    with MsrpPeer() as listening:
        yield listening
        assert listening.violations == []


def delivered(one: Agreed[Session]) -> bool:
    """All octets are there, once it has ended; True when it was confirmed."""
    assert one.ending()[:2] == ("msrp", CONFIRMED)
    return one.far.wait_for_message().content == one.content


@pytest.mark.req("PSA-MSRP-15")
def test_content_reaches_the_device_and_is_confirmed_to_the_last_octet(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE))

    assert delivered(one)
    assert one.ending().sent == len(LARGE)
    assert one.ending().why == "reported to the last octet"
    message = one.far.wait_for_message()
    assert message.message_id == one.stream.message_id
    assert max(octets for _, octets, _ in message.chunks) <= 65_536
    assert {frame.header("Success-Report") for frame in one.far.requests} == {"yes"}
    assert {frame.header("Failure-Report") for frame in one.far.requests} <= {None, "yes"}
    assert len({frame.transaction for frame in one.far.requests}) == len(one.far.requests)


@pytest.mark.req("PSA-MSRP-12", "PSA-MSRP-13", "PSA-MSRP-14")
def test_each_chunk_says_what_the_device_should_do_with_it(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree(
        (peer.session(), LARGE),
        disposition="attachment",
        name='the "menu".png',
        description="Today's menu",
        mime=(("Content-Encoding", "gzip"), ("Content-Language", "de")),
    )
    assert delivered(one)

    assert {frame.header("Content-Disposition") for frame in one.far.requests} == {
        'attachment; filename="the \\"menu\\".png"; size=1000000'
    }
    assert {frame.header("Content-Description") for frame in one.far.requests} == {"Today's menu"}
    assert {frame.header("Content-Encoding") for frame in one.far.requests} == {"gzip"}
    assert {frame.header("Content-Language") for frame in one.far.requests} == {"de"}
    assert {frame.header("Content-Type") for frame in one.far.requests} == {"image/png"}


@pytest.mark.parametrize("size", [1, 2_048, 2_049, 65_536, 65_537])
def test_any_size_is_carried(media: Media, peer: MsrpPeer, size: int) -> None:
    [one] = media.agree((peer.session(), LARGE[:size]))

    assert delivered(one)


def test_content_of_an_offer_is_in_memory_when_the_device_takes_it(
    stack: Stack, media: Media, peer: MsrpPeer
) -> None:
    before = _octets_of_redis(stack)
    [one] = media.agree((peer.session(), LARGE), offered=True)
    wait_until(lambda: _octets_of_redis(stack) - before > len(LARGE), 10, "the content to be read")
    stack.db.delete(keys.content(media.store.layout.push_shard(one.ref), one.ref))
    assert peer.connections == []

    media.answer(one)

    assert delivered(one)


def _octets_of_redis(stack: Stack) -> int:
    """That it has written to all its clients."""
    return int(stack.db.info("stats")["total_net_output_bytes"])


def test_several_files_of_a_session_go_at_the_same_time_over_one_connection(
    media: Media, peer: MsrpPeer
) -> None:
    files = [(peer.session(), LARGE[number:]) for number in range(3)]

    assert all(delivered(one) for one in media.agree(*files))
    assert len(peer.connections) == 1


@pytest.mark.req("PSA-MSRP-10")
def test_the_connection_stays_until_the_session_is_over(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE[:5_000]))
    assert delivered(one)
    media.change(one.session_id, state="closing")
    [other] = media.agree((peer.session(), LARGE[:5_000]))
    assert delivered(other)
    [connection] = peer.connections
    assert connection.is_open

    media.end(one)
    media.end(other)

    wait_until(lambda: not connection.is_open, 10, "the end of the connection")
    assert connection.ended_between_frames


def test_a_device_that_connects_is_served_on_its_connection(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE), connects=False)
    one.far.connect()

    assert delivered(one)
    assert peer.connections == []


def test_a_device_that_connects_before_we_know_its_answer_is_bound_when_we_do(
    media: Media, peer: MsrpPeer
) -> None:
    [one] = media.agree((peer.session(), LARGE), connects=False, tell=False)
    connection = one.far.connect(bind=False)
    asked = one.far.send_frame({"Message-ID": "bind-message"})
    assert connection.is_open
    assert not one.far.answers

    media.tell(one.session_id)

    assert one.far.wait_for_answer(asked).status == 200
    assert delivered(one)


def test_a_session_that_nobody_knows_gets_481(media: Media, peer: MsrpPeer) -> None:
    _, uri = media.worker()
    far = peer.session([f"{uri}/nobodyknows;tcp"])
    far.connect(bind=False)

    assert far.wait_for_answer(far.send_frame({"Message-ID": "bind-message"})).status == 481


def test_what_we_do_not_take_is_refused_with_its_code(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE[:100]), connects=False)
    one.far.connect()
    assert delivered(one)
    content = one.far.send(b"hello", "text/plain")
    unknown = one.far.send_frame({"Message-ID": "message1"}, method="NICKNAME")
    without_id = one.far.send_frame({})
    through = one.far.send_frame(
        {"Message-ID": "message1"}, to_path=[*one.far.remote, "msrp://127.0.0.1:1/a;tcp"]
    )

    assert [one.far.wait_for_answer(asked).status for asked in (*content, unknown, without_id, through)] == [
        403,
        501,
        400,
        481,
    ]


def test_a_second_connection_for_a_session_gets_506(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE[:100]), connects=False)
    one.far.connect()
    assert delivered(one)
    one.far.connect(bind=False)

    assert one.far.wait_for_answer(one.far.send_frame({"Message-ID": "bind-message"})).status == 506


def test_a_request_of_the_device_is_answered_between_two_chunks(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(manners=Manners(ask_at=200_000)), LARGE))

    assert delivered(one)
    wait_until(lambda: len(one.far.answers) == 1, 10, "the answer")


@pytest.mark.req("PSA-MSRP-17")
@pytest.mark.parametrize("code", [400, 403, 413, 415, 423, 481, 506])
def test_a_refusal_ends_it_with_its_code(media: Media, peer: MsrpPeer, code: int) -> None:
    [one] = media.agree((peer.session(manners=Manners(answer=code)), LARGE))

    ending = one.ending()

    assert ending.code == code
    assert str(code) in ending.why
    assert not one.far.reports  # a refusal is told to the initiator, never to the device


@pytest.mark.req("PSA-MSRP-17")
def test_a_refusal_in_the_middle_stops_it(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(manners=Manners(answer_at=(100_000, 413))), LARGE))

    assert one.ending().code == 413
    assert one.ending().sent < len(LARGE)


@pytest.mark.req("PSA-MSRP-17")
def test_a_failure_that_is_reported_ends_it(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(manners=Manners(report_status=415)), LARGE))

    assert one.ending().code == 415


@pytest.mark.parametrize("report", ["none", "part"])
def test_without_a_report_of_all_octets_it_is_taken_and_not_confirmed(
    media: Media, peer: MsrpPeer, report: str
) -> None:
    [one] = media.agree((peer.session(manners=Manners(report=report)), LARGE[:5_000]))

    ending = one.ending()

    assert (ending.code, ending.sent) == (TAKEN, 5_000)
    assert ending.why == "no report came within 0.5 s"


def test_reports_of_single_chunks_add_up(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(manners=Manners(report="chunk", unasked_report=True)), LARGE))

    assert delivered(one)


@pytest.mark.parametrize("octets", [0, 1, 300_000])
def test_a_connection_that_is_lost_ends_it(media: Media, peer: MsrpPeer, octets: int) -> None:
    [one] = media.agree((peer.session(manners=Manners(close_at=octets)), LARGE))

    ending = one.ending()

    assert ending.code == LOST
    assert ending.sent < len(LARGE)


def test_a_connection_that_is_lost_ends_all_that_it_carries(media: Media, peer: MsrpPeer) -> None:
    manners = Manners(close_at=500_000)
    found = media.agree(
        (peer.session(manners=manners), LARGE), (peer.session(manners=Manners(report="none")), LARGE)
    )

    assert {one.ending().code for one in found} <= {LOST, TAKEN}
    assert found[0].ending().code == LOST


def test_nobody_at_the_address_ends_it(media: Media, peer: MsrpPeer) -> None:
    far = peer.session()
    [one] = media.agree((far, LARGE), peer_path="msrp://127.0.0.1:1/nobody;tcp")

    assert one.ending().code == LOST
    assert one.ending().why.startswith("127.0.0.1:1: ")


def test_a_device_that_does_not_connect_ends_it(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE), connects=False)

    assert one.ending()[:3] == ("msrp", LOST, "the device did not connect within 0.5 s")


def test_a_device_that_takes_nothing_ends_it(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE * 12), connects=False)
    one.far.connect().stop_reading()

    assert one.ending().why == "the device took nothing for 0.7 s"
    assert one.far.connection is not None
    one.far.connection.go_on_reading()


def test_content_that_is_gone_ends_it(media: Media, peer: MsrpPeer, stack: Stack) -> None:
    [one] = media.agree((peer.session(), LARGE), tell=False)
    stack.db.delete(*stack.db.keys(f"*:{one.ref}"))
    media.tell(one.session_id)

    assert one.ending()[:3] == ("msrp", LOST, "its content is not there any more")


def test_what_the_device_holds_waits_and_then_goes_on(media: Media, peer: MsrpPeer) -> None:
    """RFC 3264 8.4."""
    [held] = media.agree((peer.session(), LARGE), held=True)
    wait_until(lambda: len(peer.connections) == 1, 5, "a connection")
    [other] = media.agree((peer.session(), LARGE))
    assert delivered(other)
    assert not held.far.requests

    media.change(held.session_id, streams=(held.stream._replace(held=False),))

    assert delivered(held)


def test_what_is_held_can_be_withdrawn(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE), held=True)
    wait_until(lambda: len(peer.connections) == 1, 5, "a connection")

    media.withdraw(one, "the push was cancelled")

    assert one.ending().by == "us"
    assert not one.far.requests


def test_what_is_withdrawn_is_aborted(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE * 12))
    one.far.wait_for_connection().stop_reading()
    media.withdraw(one, "the push was cancelled")
    wait_until(lambda: one.stream.state == "ended", 5, "the withdrawal")
    assert one.far.connection is not None
    one.far.connection.go_on_reading()

    wait_until(
        lambda: any(message.aborted for message in one.far.messages.values()), 10, "the end of the message"
    )
    assert one.ending().by == "us"


@pytest.mark.parametrize(("start", "stop"), [(1, 0), (500_001, 0), (300_000, 700_000), (1_000_000, 0)])
def test_only_the_part_that_the_device_asks_for_is_sent(
    media: Media, peer: MsrpPeer, start: int, stop: int
) -> None:
    [one] = media.agree((peer.session(), LARGE), start=start, stop=stop)

    assert one.ending().code == CONFIRMED
    message = one.far.wait_for_message()
    assert message.content == LARGE[start - 1 : stop or None]
    assert message.total == len(message.content)


def test_a_device_that_breaks_msrp_loses_its_connection(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE), connects=False)
    connection = one.far.connect()
    connection.write(b"GET / HTTP/1.1\r\n\r\n")

    wait_until(lambda: not connection.is_open, 10, "the end of the connection")
    assert one.ending().code in (LOST, CONFIRMED)


LIES = {
    "a report of more than there is": b"Byte-Range: 1-999999999999999999/*\r\nStatus: 000 200 OK",
    "a report of what was never sent": b"Byte-Range: 7-8/9\r\nStatus: 000 413",
    "a report without a range": b"Status: 000 200",
    "a report that cannot be read": b"Byte-Range: a-b/c\r\nStatus: 200",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_reports_that_lie_do_no_harm_to_others(media: Media, peer: MsrpPeer, lie: bytes) -> None:
    [one] = media.agree((peer.session(manners=Manners(report="none")), LARGE), connects=False)
    connection = one.far.connect()
    to, own = one.far.remote[0].encode(), one.far.uri.encode()
    name = one.stream.message_id.encode()
    head = b"MSRP lies REPORT\r\nTo-Path: %b\r\nFrom-Path: %b\r\nMessage-ID: %b\r\n" % (to, own, name)
    connection.write(head + lie + b"\r\n-------lies$\r\n")
    connection.write(
        b"MSRP nobody 413 Stop\r\nTo-Path: %b\r\nFrom-Path: %b\r\n-------nobody$\r\n" % (to, own)
    )
    [other] = media.agree((peer.session(), LARGE))

    assert delivered(other)
    assert one.ending().code in (CONFIRMED, TAKEN, 413)


def test_a_device_that_sends_content_without_end_loses_its_connection(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(manners=Manners(report="none")), LARGE), connects=False)
    connection = one.far.connect()
    with suppress(ConnectionError):
        one.far.send(LARGE * 3, failure="no")

    wait_until(lambda: not connection.is_open, 10, "the end of the connection")
    assert one.ending().by == "msrp"


def test_a_session_of_another_worker_is_left_alone(media: Media, peer: MsrpPeer) -> None:
    [one] = media.agree((peer.session(), LARGE), tell=False)
    place = one.stream.path.partition("/")[0]
    other = media.agree((peer.session(), LARGE))[0]
    media.change(one.session_id, place=("another", place))
    assert delivered(other)

    assert one.stream.state == "agreed"
    assert one.far.connection is None


def test_a_worker_that_is_told_to_end_ends_what_it_carries_and_is_forgotten(
    make_stack: MakeStack, peer: MsrpPeer
) -> None:
    stack = make_stack({"msrp": {"idle_s": 10.0, "lease_ms": 600}}, ("redis", "msrp"))
    [one] = Media(stack).agree((peer.session(), LARGE * 12), connects=False)
    connection = one.far.connect()
    connection.stop_reading()
    process = stack.parts["msrp"]
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: not any(worker.has_room for worker in msrp_workers.live(stack.store)), 5, "no room")
    connection.go_on_reading()

    assert delivered(one)
    wait_until(lambda: not process.is_running, 10, "the end of the worker")
    assert process.exit_code == 0
    assert msrp_workers.live(stack.store) == []
