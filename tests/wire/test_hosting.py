"""The receiver on an application server: pushes for hosted applications reach their back ends."""

import gzip
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app as command
from omapush.store import keys
from tests.fakes.backend import Backend, Posted, Status
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.store.test_hosted import first_of_stream
from tests.wire.hosted import PNG, SENDER, push
from tests.wire.requests import MARK, request

HOSTED_PARTS = ("redis", "sip", "notifier")


def hosted(backend: Backend) -> Settings:
    """One application for each thing that a table can say."""
    return {
        "delivery": {"transaction_s": 40},
        'hosted."posted.ua"': {
            "backend": backend.url,
            "retry": {"attempts": 50, "first_s": 0.05, "longest_s": 0.2},
        },
        'hosted."picky.ua"': {
            "backend": backend.url,
            "senders": ["sip:*@other.example", "tel:+15550100"],
            "content_types": ["image/*"],
            "max_bytes": 1_000,
        },
        'hosted."asked.ua"': {"backend": backend.url, "answer": "backend", "answer_within_s": 5.0},
        'hosted."hasty.ua"': {
            "backend": backend.url,
            "answer": "backend",
            "answer_within_s": 0.3,
            "retry": {"attempts": 3, "first_s": 0.05, "longest_s": 0.2},
        },
        'hosted."once.ua"': {
            "backend": backend.url,
            "retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1},
        },
        'hosted."left.ua"': {"backend": "stream", "max_waiting": 4},
        'hosted."mine.ua"': {
            "backend": backend.url,
            "recipients": ["sip:*@as.example"],
            "request_uris": ["sip:mms@as.example"],
        },
    }


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Stack]:
    """A server with hosted applications, for all tests that leave it as it was."""
    with Stack(tmp_path_factory.mktemp("host"), hosted(backend), HOSTED_PARTS) as running:
        yield running


@pytest.fixture
def scscf(host: Stack, backend: Backend) -> Iterator[SipPeer]:
    backend.policy = lambda _: Status(204)
    with SipPeer(host.core_port) as peer:
        yield peer


def listed(host: Stack, application: str, *words: str) -> dict[str, list[dict[str, object]]]:
    result = CliRunner().invoke(
        command, ["--config", str(host.config_file), "hosted", application, *words, "--json"]
    )
    assert result.exit_code == 0, result.output
    (only,) = json.loads(result.stdout)
    return dict(only)


@pytest.mark.req("PRA-GEN-1", "PRA-GEN-2", "PRA-MSG-2", "PRA-MSG-3", "PRA-MSG-4", "PRA-MSG-5")
def test_a_push_that_criteria_bring_ends_here_and_its_bytes_reach_the_back_end(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    vector = 'icid-value="abc";icid-generated-at=192.0.2.1;orig-ioi="Type 3other.example"'
    headers = [
        ("P-Charging-Vector", vector),
        ("X-Push-Id", "theirs-1"),
        ("Expires", "600"),
        ("Priority", "urgent"),
        ("Content-Language", "de"),
    ]
    answer = scscf.ask(push(host, scscf, "sip:first@ims.lab", headers=headers), host.sip)

    assert answer.start_line == "SIP/2.0 200 OK"
    assert answer.body == b""
    assert answer.all("Contact") == []
    assert 'term-ioi="Type 3home1.example"' in answer.header("P-Charging-Vector")
    (posted,) = backend.wait_for("sip:first@ims.lab")
    assert (posted.body, posted.of("Content-Type")) == (PNG, "image/png")
    assert posted.of("X-Push-Application") == "posted.ua"
    assert posted.of("X-Push-Sender") == SENDER
    assert posted.of("X-Push-Sender-Id") == "theirs-1"
    assert posted.of("X-Push-Method") == "MESSAGE"
    assert posted.of("X-Push-Header-Priority") == "urgent"
    assert posted.of("Content-Language") == "de"
    assert posted.of("X-Push-Valid-Until") > posted.of("X-Push-Received")
    assert scscf.pushes("sip:first@ims.lab") == []
    wait_until(lambda: listed(host, "posted.ua")["pushes"] == [], 10, "nothing kept that was taken")


@pytest.mark.req("PRA-GEN-2")
@pytest.mark.parametrize(
    ("app", "fields"),
    [
        ("unknown.ua", {}),
        ("", {}),
        ("mine.ua", {}),
        ("posted.ua", {"To": "<sip:relayed@ims.lab>;tag=a"}),
    ],
    ids=["unknown application", "no application", "not its recipient", "in a dialog"],
)
def test_what_is_for_no_hosted_application_goes_on_byte_for_byte(
    host: Stack, scscf: SipPeer, backend: Backend, app: str, fields: dict[str, str]
) -> None:
    uri = f"sip:relayed-{app}-{len(fields)}@ims.lab"
    raw = push(host, scscf, uri, app, b"\0not \xff ours", headers=[("X-Odd", 'a "b", <c>;d')], fields=fields)
    answer = scscf.ask(raw, host.sip)

    sent, (came,) = SipText.parse(raw), scscf.pushes(uri)
    assert answer.status == 200
    assert (came.start_line, came.body) == (sent.start_line, sent.body)
    assert came.all("Route") == [f"<sip:iscmark@127.0.0.1:{scscf.port};{MARK}>"]
    touched = ("route", "via", "max-forwards")
    assert [one for one in came.headers if one[0] not in touched] == [
        one for one in sent.headers if one[0] not in touched
    ]
    assert backend.posted(uri) == []


def test_a_push_of_the_senders_own_criteria_goes_on(host: Stack, scscf: SipPeer, backend: Backend) -> None:
    """The recipient's criteria bring it again, and only that is a receiver's."""
    uri = "sip:originating@ims.lab"
    served = [("P-Served-User", f"<{SENDER}>;sescase=orig;regstate=reg")]

    assert scscf.ask(push(host, scscf, uri, headers=served), host.sip).status == 200

    assert len(scscf.pushes(uri)) == 1
    assert backend.posted(uri) == []


@pytest.mark.req("PRA-GEN-2")
def test_a_push_to_an_identity_of_the_application_needs_no_feature_tag(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:mms@as.example"

    assert scscf.ask(push(host, scscf, uri, ""), host.sip).status == 200
    assert [one.of("X-Push-Application") for one in backend.wait_for(uri)] == ["mine.ua"]
    assert scscf.ask(push(host, scscf, uri, "other.ua"), host.sip).status == 200
    assert len(scscf.pushes(uri)) == 1


def test_a_push_to_this_server_itself_is_taken_and_any_other_message_is_not(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:psa@home1.example"

    assert scscf.ask(push(host, scscf, uri, onward=False), host.sip).status == 200
    assert len(backend.wait_for(uri)) == 1
    assert scscf.ask(push(host, scscf, uri, "unknown.ua", onward=False), host.sip).status == 405
    assert scscf.ask(request("MESSAGE", uri, scscf.address), host.sip).status == 405


@pytest.mark.req("PRA-MSG-1")
@pytest.mark.parametrize("sender", ["", "sip:psa@evil.example", "mailto:a@b.example", 'a"'])
def test_who_is_not_asserted_or_may_not_push_gets_403_and_nothing_is_kept(
    host: Stack, scscf: SipPeer, backend: Backend, sender: str
) -> None:
    uri = f"sip:forbidden-{len(sender)}@ims.lab"

    assert scscf.ask(push(host, scscf, uri, "picky.ua", sender=sender), host.sip).status == 403

    assert (scscf.pushes(uri), listed(host, "picky.ua")["pushes"]) == ([], [])


def test_one_of_two_asserted_identities_that_may_push_is_enough(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:two-identities@ims.lab"
    both = [("P-Asserted-Identity", "<sip:psa@evil.example>, <tel:+1-555-0100>")]

    assert scscf.ask(push(host, scscf, uri, "picky.ua", sender="", headers=both), host.sip).status == 200
    assert backend.wait_for(uri)[0].of("X-Push-Sender") == "tel:+1-555-0100"


@pytest.mark.req("PRA-MSG-4")
def test_a_type_that_is_not_taken_gets_415_with_what_is(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:wrong-type@ims.lab"
    answer = scscf.ask(push(host, scscf, uri, "picky.ua", content_type="text/plain"), host.sip)

    assert answer.status == 415
    assert answer.header("Accept") == "image/*, application/vnd.oma.push"
    odd = push(host, scscf, uri, "picky.ua", headers=[("Content-Encoding", "br")])
    answer = scscf.ask(odd, host.sip)
    assert (answer.status, answer.header("Accept-Encoding")) == (415, "gzip, deflate, identity")
    assert (scscf.pushes(uri), backend.posted(uri)) == ([], [])


@pytest.mark.req("PRA-MSG-4")
@pytest.mark.parametrize(
    ("app", "body", "coding"),
    [
        ("picky.ua", b"x" * 1_001, ""),
        ("picky.ua", gzip.compress(b"x" * 100_000), "gzip"),
        ("posted.ua", b"x" * 60_000, ""),
    ],
    ids=["above the limit", "above it once decompressed", "above what a MESSAGE carries"],
)
def test_content_that_is_too_large_gets_413(
    host: Stack, scscf: SipPeer, backend: Backend, app: str, body: bytes, coding: str
) -> None:
    uri = f"sip:too-large-{len(body)}@ims.lab"
    headers = [("Content-Encoding", coding)] if coding else []

    assert scscf.ask(push(host, scscf, uri, app, body, headers=headers), host.sip).status == 413
    assert (scscf.pushes(uri), backend.posted(uri)) == ([], [])


def test_content_of_40_kilobytes_passes(host: Stack, scscf: SipPeer, backend: Backend) -> None:
    body = bytes(range(256)) * 160

    assert scscf.ask(push(host, scscf, "sip:large@ims.lab", body=body), host.sip).status == 200
    assert backend.wait_for("sip:large@ims.lab")[0].body == body


@pytest.mark.req("PRA-MSG-4")
def test_options_say_what_hosted_applications_take_as_well(host: Stack, scscf: SipPeer) -> None:
    """RFC 3261 11.2."""
    answer = scscf.ask(request("OPTIONS", "sip:psa@home1.example", scscf.address), host.sip)

    assert "MESSAGE" in answer.header("Allow").split(", ")
    assert "*/*" in answer.header("Accept").split(", ")
    assert answer.header("Accept-Encoding") == "gzip, deflate, identity"


def test_an_extension_that_is_required_and_not_known_gets_420(host: Stack, scscf: SipPeer) -> None:
    answer = scscf.ask(push(host, scscf, "sip:ext@ims.lab", headers=[("Require", "pref, 100rel")]), host.sip)

    assert (answer.status, answer.header("Unsupported")) == (420, "100rel")


@pytest.mark.req("PROP-CTRL-1", "PROP-CTRL-2")
def test_a_wrapped_and_compressed_push_reaches_the_back_end_as_one_in_native_form(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    control = b"X-Wap-Application-Id: picky.ua\r\nContent-Type: image/png\r\nX-Wap-Content-URI: http://c.example/1\r\n"
    control += "X-Wap-Initiator-URI: http://pi.example/\r\nX-Said: grüße\r\n\r\n".encode()
    body = gzip.compress(control + PNG)
    sent = push(
        host,
        scscf,
        "sip:wrapped@ims.lab",
        "picky.ua",
        body,
        content_type="application/vnd.oma.push",
        headers=[("Content-Encoding", "gzip")],
    )

    assert scscf.ask(sent, host.sip).status == 200
    (posted,) = backend.wait_for("sip:wrapped@ims.lab")
    assert (posted.body, posted.of("Content-Type")) == (PNG, "image/png")
    assert posted.of("X-Push-Content-Uri") == "http://c.example/1"
    assert posted.of("X-Push-Initiator") == "http://pi.example/"
    assert posted.of("Content-Encoding") == ""
    assert posted.of("X-Push-Header-X-Said").encode("latin-1").decode() == "grüße"


def test_a_wrapped_push_that_cannot_be_taken_apart_gets_400(host: Stack, scscf: SipPeer) -> None:
    sent = push(host, scscf, "sip:broken@ims.lab", body=b"no lines", content_type="application/vnd.oma.push")

    assert scscf.ask(sent, host.sip).status == 400


@pytest.mark.req("PROP-CTRL-4", "PRA-MSG-3")
@pytest.mark.parametrize("how", ["same request", "same push id"])
def test_a_push_that_comes_twice_is_answered_twice_and_delivered_once(
    host: Stack, scscf: SipPeer, backend: Backend, how: str
) -> None:
    uri = f"sip:{how.replace(' ', '-')}@ims.lab"
    headers = [("X-Push-Id", "p.0")] if how == "same push id" else []
    fields = {"Call_ID": "once@psa", "From": "<sip:psa@other.example>;tag=t"} if how == "same request" else {}
    for _ in range(3):
        assert scscf.ask(push(host, scscf, uri, headers=headers, fields=fields), host.sip).status == 200
    other = push(host, scscf, uri, headers=[("X-Push-Id", "p.1")])
    assert scscf.ask(other, host.sip).status == 200

    posted = backend.wait_for(uri, 2)
    wait_until(lambda: listed(host, "posted.ua")["pushes"] == [], 10, "all told")
    assert len(backend.posted(uri)) == 2
    assert len({one.of("X-Push-Id") for one in posted}) == 2


@pytest.mark.req("PRA-MSG-3")
def test_a_back_end_that_is_down_gets_the_push_once_when_it_is_back(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:patient@ims.lab"
    answers = iter([Status(503), Status(500), Status(204)])
    backend.policy = lambda _: next(answers)

    assert scscf.ask(push(host, scscf, uri), host.sip).status == 200

    posted = backend.wait_for(uri, 3)
    assert [one.of("X-Push-Attempt") for one in posted] == ["1", "2", "3"]
    assert len({one.of("X-Push-Id") for one in posted}) == 1
    wait_until(lambda: listed(host, "posted.ua")["pushes"] == [], 10, "the push taken")
    assert len(backend.posted(uri)) == 3


def test_what_a_back_end_never_takes_is_listed_and_can_be_told_again(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:given-up@ims.lab"
    backend.policy = lambda _: Status(500)
    assert scscf.ask(push(host, scscf, uri, "once.ua"), host.sip).status == 200
    wait_until(
        lambda: [one["state"] for one in listed(host, "once.ua")["pushes"]] == ["failed"], 10, "a failure"
    )
    (failed,) = listed(host, "once.ua")["pushes"]
    assert (failed["recipient"], failed["last"], failed["tries"]) == (uri, "HTTP 500", 1)

    backend.policy = lambda _: Status(204)
    again = CliRunner().invoke(command, ["--config", str(host.config_file), "hosted", "once.ua", "--retry"])

    assert again.stdout == "once.ua: 1 will be told again\n"
    assert [one.body for one in backend.wait_for(uri, 2)] == [PNG, PNG]
    wait_until(lambda: listed(host, "once.ua")["pushes"] == [], 10, "the push taken")


@pytest.mark.req("PROP-CTRL-3", "PRA-MSG-4")
@pytest.mark.parametrize(
    ("http", "sip"),
    [
        (204, 200),
        (200, 200),
        (400, 400),
        (403, 403),
        (404, 404),
        (409, 603),
        (413, 413),
        (415, 415),
        (503, 480),
    ],
)
def test_the_back_ends_verdict_becomes_the_answer(
    host: Stack, scscf: SipPeer, backend: Backend, http: int, sip: int
) -> None:
    uri = f"sip:verdict-{http}@ims.lab"
    backend.policy = lambda _: Status(http)
    sent = push(host, scscf, uri, "asked.ua")
    answer = scscf.ask(sent, host.sip)

    assert answer.status == sip
    assert (answer.body, answer.all("Contact")) == (b"", [])
    assert (answer.header("Accept") == "*/*") if sip == 415 else (answer.all("Accept") == [])
    assert listed(host, "asked.ua")["pushes"] == []
    assert len(backend.posted(uri)) == 1
    again = SipText.parse(sent)
    repeated = sent.replace(again.branch.encode(), b"z9hG4bKanother" + str(http).encode())
    assert scscf.ask(repeated, host.sip).status == sip
    assert len(backend.posted(uri)) == 1


def test_a_request_repeated_while_its_back_end_thinks_is_one_request(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri, go = "sip:thinking@ims.lab", threading.Event()

    def slow(_: Posted) -> Status:
        go.wait(10)
        return Status(409)

    backend.policy = slow
    sent = push(host, scscf, uri, "asked.ua")
    scscf.send(sent, host.sip)
    backend.wait_for(uri)
    for _ in range(3):
        scscf.send(sent, host.sip)
    ours = SipText.parse(sent).header("Call-ID")
    elsewhere = push(host, scscf, uri, "asked.ua", fields={"Call_ID": ours + "x"})
    go.set()
    assert scscf.ask(elsewhere, host.sip).status == 603

    answers = [one.status for one in scscf.responses if one.header("Call-ID") == ours]
    assert set(answers) == {603}
    assert len(backend.posted(uri)) == 2


@pytest.mark.req("PRA-MSG-2")
def test_compact_header_names_are_read_like_the_others(host: Stack, scscf: SipPeer, backend: Backend) -> None:
    uri = "sip:compact@ims.lab"
    headers = [("a", '*;+g.oma.pusheventapp="picky.ua"'), ("c", "image/png"), ("e", "gzip")]
    sent = push(host, scscf, uri, "", gzip.compress(PNG), content_type="", headers=headers)

    assert scscf.ask(sent, host.sip).status == 200
    assert [one.body for one in backend.wait_for(uri)] == [PNG]


def test_a_back_end_short_of_resources_is_told_apart_by_its_retry_after(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    backend.policy = lambda _: Status(507, "17")
    answer = scscf.ask(push(host, scscf, "sip:short@ims.lab", "asked.ua"), host.sip)

    assert (answer.status, answer.header("Retry-After")) == (500, "17")


def test_a_push_refused_by_the_back_end_may_be_tried_again_by_its_sender(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    """The same push-id in another request is a new question once the first was refused."""
    uri, headers = "sip:again@ims.lab", [("X-Push-Id", "again.0")]
    answers = iter([Status(503), Status(204)])
    backend.policy = lambda _: next(answers)

    codes = [
        scscf.ask(push(host, scscf, uri, "asked.ua", headers=headers), host.sip).status for _ in range(3)
    ]

    assert codes == [480, 200, 200]
    assert len(backend.posted(uri)) == 2


def test_a_verdict_that_comes_too_late_changes_nothing_and_the_push_is_delivered(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    """200 means stored: the back end is told again until it takes it."""
    uri = "sip:late@ims.lab"
    answered: list[int] = []

    def slow(posted: Posted) -> Status:
        if posted.of("X-Push-Attempt") == "1":
            wait_until(lambda: bool(answered), 10, "the SIP answer")
            return Status(503)
        return Status(204)

    backend.policy = slow
    answered.append(scscf.ask(push(host, scscf, uri, "hasty.ua"), host.sip).status)

    assert answered == [200]
    assert len(backend.wait_for(uri, 2)) == 2
    wait_until(lambda: listed(host, "hasty.ua")["pushes"] == [], 10, "the push taken")


def test_a_refusal_that_comes_too_late_is_listed_as_failed(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    uri = "sip:late-refusal@ims.lab"
    answered: list[int] = []

    def slow(_: Posted) -> Status:
        wait_until(lambda: bool(answered), 10, "the SIP answer")
        return Status(415)

    backend.policy = slow
    answered.append(scscf.ask(push(host, scscf, uri, "hasty.ua"), host.sip).status)

    wait_until(lambda: bool(listed(host, "hasty.ua")["pushes"]), 10, "the push there")
    wait_until(lambda: listed(host, "hasty.ua")["pushes"][0]["state"] == "failed", 10, "a failure")
    assert (answered, len(backend.posted(uri))) == ([200], 1)


@pytest.mark.req("PRA-GEN-2")
def test_a_push_is_left_in_a_stream_until_there_are_too_many(
    host: Stack, scscf: SipPeer, backend: Backend
) -> None:
    """`max_waiting` is 4 and there are 4 shards: one for each."""
    uri = "sip:left@ims.lab"
    assert (
        scscf.ask(push(host, scscf, uri, "left.ua", headers=[("X-Push-Id", "s.0")]), host.sip).status == 200
    )

    stream = keys.hosted(host.store.layout.user_shard(uri), "stream", "left.ua")
    name, fields = first_of_stream(host.store, stream)
    assert (fields[b"content"], fields[b"content-type"], fields[b"sender"]) == (
        PNG,
        b"image/png",
        SENDER.encode(),
    )
    assert (fields[b"recipient"], fields[b"push-id"]) == (uri.encode(), b"s.0")
    answer = scscf.ask(push(host, scscf, uri, "left.ua"), host.sip)
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    host.db.xdel(stream, name)
    assert scscf.ask(push(host, scscf, uri, "left.ua"), host.sip).status == 200


def test_each_answer_is_counted(host: Stack, scscf: SipPeer, backend: Backend) -> None:
    assert scscf.ask(push(host, scscf, "sip:count@ims.lab", sender=""), host.sip).status == 403
    page = httpx.get(f"http://{host.sip[0]}:{host.sip[1]}/metrics", trust_env=False).text

    assert 'omapush_hosted_pushes_total{application="posted.ua",status="403"}' in page.replace(", ", ",")
