"""A receiver on an application server subscribes to senders of pushes, and takes what their NOTIFYs bring."""

import gzip
import json
from collections.abc import Iterator, Sequence

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app as command
from omapush.push.watch import Watch, content_package
from omapush.store import keys, watches
from tests.fakes.backend import Backend, Status
from tests.fakes.sip_text import SipText
from tests.harness.reg_event import Scscf
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.store.test_hosted import first_of_stream
from tests.wire.hosted import PNG

EVENT = "ua-profile;profile-type=oma-app"
PARTS = ("redis", "sip", "notifier")
APPLICATIONS = (
    "posted", "again", "picky", "asked", "left", "shown",
    "short", "lost", "ended", "rested", "over", "refused", "quick",
)  # fmt: skip
"Each subscribes to a sender of its own, so that tests leave each other alone."


def sender(name: str) -> str:
    return f"sip:{name}@other.example"


def recipient(name: str) -> str:
    return f"sip:{name}@as.example"


def settings(backend: Backend) -> Settings:
    more: dict[str, dict[str, object]] = {
        "picky": {
            "senders": ["sip:*@other.example"],
            "content_types": ["image/*"],
            "max_bytes": 1_000,
        },
        "asked": {"answer": "backend", "answer_within_s": 5.0},
        "left": {"backend": "stream"},
    }
    tables = {
        f'hosted."{name}.ua"': {
            "backend": backend.url,
            "recipients": [],
            "subscribe": [sender(name)],
            "identity": recipient(name),
            **more.get(name, {}),
        }
        for name in APPLICATIONS
    }
    return {"registration": {"watch": False, "first_retry_s": 0.2, "longest_retry_s": 1.0}, **tables}


class Senders(Scscf):
    """All the senders, behind one address; some of them difficult."""

    def __init__(self, peer: SipPeer, application_server: tuple[str, int]) -> None:
        super().__init__(peer, application_server, package=EVENT, document="image/png")
        self.answers = self._answer

    def _answer(self, request: SipText) -> Says:
        name = request.header("To").partition(":")[2].partition("@")[0]
        first = len(self.subscribes(sender(name))) <= 1
        if name == "short" and first:
            return Says(423, "Interval Too Brief", {"Min-Expires": "7200"})
        if name == "lost" and "tag=" in request.header("To"):
            return Says(481, "Call Does Not Exist")
        if name == "refused":
            return Says(403, "Forbidden", {})
        if name in ("lost", "quick"):
            return Says(200, "OK", {"Expires": "2"})
        return Says(202, "Accepted", {})

    def push(self, subscribe: SipText, body: bytes = b"", **words: str) -> SipText:
        """A NOTIFY with a push; `words`: its headers, with `_` for `-`."""
        told = {
            name.replace("_", "-"): value for name, value in words.items() if name not in ("state", "tag")
        }
        state, tag = words.get("state", "active;expires=600"), words.get("tag", "peer")
        return self.notify(subscribe, body, state=state, tag=tag, headers={"Event": "ua-profile", **told})


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[tuple[Stack, Senders]]:
    stack = Stack(tmp_path_factory.mktemp("subscribing"), settings(backend), PARTS)
    with SipPeer(stack.core_port) as core:
        senders = Senders(core, stack.sip)
        with stack:
            yield stack, senders


@pytest.fixture
def stack(host: tuple[Stack, Senders], backend: Backend) -> Stack:
    backend.policy = lambda _: Status(204)
    return host[0]


@pytest.fixture
def senders(host: tuple[Stack, Senders]) -> Senders:
    return host[1]


def run(stack: Stack, *words: str) -> str:
    result = CliRunner().invoke(command, ["--config", str(stack.config_file), "hosted", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def watch_of(stack: Stack, name: str) -> Watch:
    found = watches.read(stack.store, sender(name), content_package(f"{name}.ua"))
    assert found is not None
    return found


def becomes(stack: Stack, name: str, states: Sequence[str]) -> Watch:
    wait_until(
        lambda: watch_of(stack, name).state in states, 10, lambda: f"{states}: {watch_of(stack, name)}"
    )
    return watch_of(stack, name)


@pytest.mark.req("PRA-SUB-1", "PRA-SUB-3", "PRA-GEN-2", "SUB-1", "PROP-X-1", "PROP-X-3")
def test_at_its_start_the_server_subscribes_in_the_name_of_the_application(
    stack: Stack, senders: Senders
) -> None:
    sent = senders.subscribe(sender("picky"))

    assert sent.start_line == f"SUBSCRIBE {sender('picky')} SIP/2.0"
    assert sent.header("Route") == f"<sip:127.0.0.1:{senders.peer.port};lr>"
    assert sent.header("From").startswith(f"<{recipient('picky')}>;tag=")
    assert sent.header("P-Asserted-Identity") == f"<{recipient('picky')}>"
    assert sent.header("Contact") == f"<sip:127.0.0.1:{stack.sip[1]}>"
    assert (sent.header("Event"), sent.header("Expires")) == (EVENT, "3600")
    assert sent.header("Accept-Contact") == '*;+g.oma.pusheventapp="picky.ua"'
    assert sent.header("Accept") == "image/*, application/vnd.oma.push"
    assert sent.header("Accept-Encoding") == "gzip, deflate, identity"
    assert 'orig-ioi="Type 3home1.example"' in sent.header("P-Charging-Vector")
    calls = {name: senders.subscribe(sender(name)).header("Call-ID") for name in APPLICATIONS}
    assert len(set(calls.values())) == len(APPLICATIONS)


@pytest.mark.req("PRA-SUB-2", "PRA-NOT-1", "PRA-NOT-2", "PRA-NOT-3", "PRA-GEN-2")
def test_the_push_of_a_notify_reaches_the_back_end_of_the_application_that_subscribed(
    stack: Stack, senders: Senders, backend: Backend
) -> None:
    sent = senders.subscribe(sender("posted"))
    vector = 'icid-value="abc";orig-ioi="Type 3other.example"'
    assert senders.push(sent).status == 200  # the first one may be empty
    answer = senders.push(
        sent, PNG, P_Charging_Vector=vector, X_Push_Id="theirs-7", Priority="urgent", Expires="600"
    )

    assert (answer.status, answer.body) == (200, b"")
    assert 'term-ioi="Type 3home1.example"' in answer.header("P-Charging-Vector")
    (posted,) = backend.wait_for(recipient("posted"))
    assert (posted.body, posted.of("Content-Type")) == (PNG, "image/png")
    assert (posted.of("X-Push-Application"), posted.of("X-Push-Method")) == ("posted.ua", "NOTIFY")
    assert (posted.of("X-Push-Sender"), posted.of("X-Push-Sender-Id")) == (sender("posted"), "theirs-7")
    assert posted.of("X-Push-Header-Priority") == "urgent"
    assert posted.of("X-Push-Valid-Until") > posted.of("X-Push-Received")
    assert watch_of(stack, "posted").state == "active"


@pytest.mark.req("PRA-NOT-1")
def test_a_notify_that_comes_again_is_answered_again_and_delivered_once(
    stack: Stack, senders: Senders, backend: Backend
) -> None:
    sent = senders.subscribe(sender("again"))
    known = len(backend.posted(recipient("again")))
    for cseq in (1_000, 1_000, 1_000, 1_001):
        answer = senders.notify(sent, b"again", cseq=cseq, headers={"Event": "ua-profile"})
        assert answer.status == 200
    assert senders.notify(sent, b"old", cseq=999, headers={"Event": "ua-profile"}).status == 500
    senders.notify(sent, b"last", cseq=1_002, headers={"Event": "ua-profile"})

    posted = backend.wait_for(recipient("again"), known + 3)
    wait_until(lambda: json.loads(run(stack, "again.ua", "--json"))[0]["pushes"] == [], 10, "all told")
    bodies = sorted(one.body for one in backend.posted(recipient("again"))[known:])
    assert bodies == [b"again", b"again", b"last"]
    assert len({one.of("X-Push-Id") for one in posted[known:]}) == 3


@pytest.mark.req("PRA-NOT-1", "PRA-SUB-2")
def test_a_push_that_is_not_taken_is_refused_alone(stack: Stack, senders: Senders, backend: Backend) -> None:
    sent = senders.subscribe(sender("picky"))
    wrong_type = senders.push(sent, b"words", Content_Type="text/plain")
    assert (wrong_type.status, wrong_type.header("Accept")) == (415, "image/*, application/vnd.oma.push")
    assert senders.push(sent, b"x" * 1_001).status == 413
    assert senders.push(sent, gzip.compress(b"x" * 50_000), Content_Encoding="gzip").status == 413
    assert senders.push(sent, PNG, Content_Encoding="br").status == 415
    assert senders.push(sent, PNG, P_Asserted_Identity="<sip:a@evil.example>").status == 403
    assert senders.push(sent, PNG, P_Asserted_Identity='"').status == 403
    assert senders.push(sent, PNG, Require="100rel").status == 420
    assert senders.push(sent, PNG, Expires="1", Date="Sat, 01 Jan 2000 00:00:00 GMT").status == 403
    assert backend.posted(recipient("picky")) == []

    assert senders.push(sent, gzip.compress(PNG), Content_Encoding="gzip").status == 200
    assert [one.body for one in backend.wait_for(recipient("picky"))] == [PNG]
    assert watch_of(stack, "picky").state == "active"


@pytest.mark.req("PRA-NOT-1")
@pytest.mark.parametrize(
    ("http", "sip", "retry_after"),
    [
        (204, 200, ""),
        (400, 400, ""),
        (403, 403, ""),
        (404, 403, ""),
        (409, 603, ""),
        (413, 413, ""),
        (415, 415, ""),
        (503, 503, "60"),
        (507, 500, "60"),
    ],
)
def test_the_back_ends_verdict_becomes_an_answer_that_does_not_end_the_subscription(
    stack: Stack, senders: Senders, backend: Backend, http: int, sip: int, retry_after: str
) -> None:
    sent = senders.subscribe(sender("asked"))
    known = len(backend.posted(recipient("asked")))
    backend.policy = lambda _: Status(http)
    answer = senders.push(sent, f"verdict {http}".encode())

    assert (answer.status, answer.header("Retry-After")) == (sip, retry_after)
    assert len(backend.wait_for(recipient("asked"), known + 1)) == known + 1
    assert json.loads(run(stack, "asked.ua", "--json"))[0]["pushes"] == []


def test_a_push_for_a_stream_lies_there_when_it_is_answered(stack: Stack, senders: Senders) -> None:
    assert senders.push(senders.subscribe(sender("left")), PNG).status == 200

    shard = stack.store.layout.user_shard(recipient("left"))
    _, entry = first_of_stream(stack.store, keys.hosted(shard, "stream", "left.ua"))
    assert (entry[b"content"], entry[b"method"]) == (PNG, b"NOTIFY")
    assert (entry[b"recipient"], entry[b"sender"]) == (recipient("left").encode(), sender("left").encode())


@pytest.mark.req("PRA-NOT-1")
def test_what_is_not_in_the_dialog_is_refused_and_reaches_nobody(
    stack: Stack, senders: Senders, backend: Backend
) -> None:
    sent = senders.subscribe(sender("picky"))
    known = len(backend.posted(recipient("picky")))
    assert senders.push(sent).status == 200

    call_id = sent.header("Call-ID")
    assert senders.push(sent, PNG, tag="fork").status == 481
    assert senders.push(sent, PNG, To=f"<{recipient('picky')}>;tag=other").status == 481
    assert senders.push(sent, PNG, Call_ID=call_id.replace("-c", "-d")).status == 481
    assert senders.push(sent, PNG, Call_ID=call_id.replace("@", "0@")).status == 481
    other = content_package("never.ua")
    assert senders.push(sent, PNG, Call_ID=f"{call_id[:17]}{other}-{call_id[35:]}").status == 481
    wrong = senders.push(sent, PNG, Event="reg")
    assert (wrong.status, wrong.header("Allow-Events")) == (489, "ua-profile")
    assert senders.push(sent, PNG, Subscription_State="").status == 400
    assert senders.push(sent, PNG, Subscription_State="active;expires=soon").status == 400
    assert len(backend.posted(recipient("picky"))) == known


@pytest.mark.req("SUB-1")
def test_a_time_that_is_too_short_is_made_longer(stack: Stack, senders: Senders) -> None:
    again = senders.subscribe(sender("short"), 2)

    assert again.header("Expires") == "7200"
    assert senders.push(again).status == 200
    assert becomes(stack, "short", ["active"]).min_expires_s == 7_200


@pytest.mark.req("SUB-1", "PRA-SUB-1")
def test_it_is_refreshed_in_its_dialog_without_a_notify_and_with_pushes_between(
    stack: Stack, senders: Senders, backend: Backend
) -> None:
    first = senders.subscribe(sender("quick"))
    assert senders.push(first, b"1", state="active;expires=2").status == 200
    second, third = senders.subscribe(sender("quick"), 2), senders.subscribe(sender("quick"), 3)

    for one in (second, third):
        assert one.header("Call-ID") == first.header("Call-ID")
        assert one.header("To") == f"<{sender('quick')}>;tag=peer"
        assert one.header("Accept-Contact") == '*;+g.oma.pusheventapp="quick.ua"'
    numbers = [int(one.header("CSeq").split()[0]) for one in (first, second, third)]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert senders.push(third, b"2", state="active;expires=600").status == 200
    assert [one.body for one in backend.wait_for(recipient("quick"), 2)] == [b"1", b"2"]


@pytest.mark.req("SUB-1")
def test_a_refresh_that_is_answered_481_begins_a_new_dialog(stack: Stack, senders: Senders) -> None:
    first = senders.subscribe(sender("lost"))
    assert senders.push(first, state="active;expires=2").status == 200
    anew = senders.subscribe(sender("lost"), 3)

    assert senders.subscribe(sender("lost"), 2).header("Call-ID") == first.header("Call-ID")
    assert anew.header("Call-ID") != first.header("Call-ID")
    assert "tag=" not in anew.header("To")
    assert senders.push(first, PNG).status == 481
    assert senders.push(anew, state="active;expires=600").status == 200


@pytest.mark.req("SUB-1")
def test_one_that_is_deactivated_begins_anew_at_once_and_its_last_push_is_taken(
    stack: Stack, senders: Senders, backend: Backend
) -> None:
    first = senders.subscribe(sender("ended"))
    assert senders.push(first).status == 200
    assert senders.push(first, b"last words", state="terminated;reason=deactivated").status == 200

    anew = senders.subscribe(sender("ended"), 2)
    assert anew.header("Call-ID") != first.header("Call-ID")
    assert [one.body for one in backend.wait_for(recipient("ended"))] == [b"last words"]
    assert senders.push(anew).status == 200


@pytest.mark.req("SUB-1")
def test_one_on_probation_waits_for_its_retry_after(stack: Stack, senders: Senders) -> None:
    first = senders.subscribe(sender("rested"))
    assert senders.push(first).status == 200
    assert senders.push(first, state="terminated;reason=probation;retry-after=3600").status == 200

    watch = becomes(stack, "rested", ["resting"])
    assert watch.due_ms - watch.at_ms >= 3_600_000
    assert len(senders.subscribes(sender("rested"))) == 1


@pytest.mark.req("SUB-1")
def test_one_that_is_rejected_is_asked_for_again_only_when_an_operator_says_so(
    stack: Stack, senders: Senders
) -> None:
    first = senders.subscribe(sender("over"))
    assert senders.push(first).status == 200
    assert senders.push(first, state="terminated;reason=rejected").status == 200
    becomes(stack, "over", ["waiting"])
    assert len(senders.subscribes(sender("over"))) == 1

    assert "sip:over@other.example" in run(stack, "over.ua", "--subscribe")
    anew = senders.subscribe(sender("over"), 2)
    assert anew.header("Call-ID") != first.header("Call-ID")
    assert senders.push(anew).status == 200


def test_one_that_is_refused_is_tried_again(stack: Stack, senders: Senders) -> None:
    """Once each `longest_retry_s`; no REGISTER would begin it anew."""
    again = senders.subscribe(sender("refused"), 2)

    assert again.header("Call-ID") != senders.subscribe(sender("refused")).header("Call-ID")


def test_the_command_and_the_metrics_show_how_subscriptions_are(stack: Stack, senders: Senders) -> None:
    assert senders.push(senders.subscribe(sender("shown")), PNG).status == 200
    (told,) = json.loads(run(stack, "shown.ua", "--json"))
    (one,) = told["subscriptions"]
    assert (one["sender"], one["subscription"]["state"]) == (sender("shown"), "active")
    assert one["subscription"]["call_id"] == senders.subscribe(sender("shown")).header("Call-ID")
    shown = run(stack, "refused.ua")
    assert sender("refused") in shown

    metrics = httpx.get(f"http://{stack.sip[0]}:{stack.sip[1]}/metrics", trust_env=False).text
    assert 'omapush_hosted_notifies_total{status="200"}' in metrics
    assert 'omapush_hosted_pushes_total{application="shown.ua"' in metrics
