"""The stand-in S-CSCF behaves as a real one, between SIPp and the handset."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.handset import Answer, handset_in_thread
from tests.harness.ports import free_port
from tests.harness.scscf import Scscf
from tests.harness.sipp import Outcome, Sipp

SHARED = Path(__file__).parent.parent / "sipp-scenarios" / "_shared"
ALICE, BOB = "sip:alice@home1.example", "sip:bob@home1.example"
MMSC = "sip:mmsc@home1.example"
ORIG_MARK, TERM_MARK = ";s=2;h=0;d=0;a=00", ";s=4;h=0;d=1;a=00"

StartScscf = Callable[..., Scscf]
Send = Callable[..., Outcome]


@pytest.fixture
def as_port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, as_port: int) -> Iterator[StartScscf]:
    """Starts an S-CSCF with the named criteria; it ends with the test."""
    started: list[Scscf] = []

    def start_scscf(*criteria: str) -> Scscf:
        scscf = Scscf(tmp_path, as_uri=f"sip:127.0.0.1:{as_port}", criteria=criteria)
        started.append(scscf)
        return scscf.start()

    yield start_scscf
    for scscf in started:
        scscf.stop()


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Sends one MESSAGE through the S-CSCF and expects the code; `edit` replaces a text of the scenario."""

    def send_message(
        scscf: Scscf,
        to: str,
        *,
        expect: int = 200,
        sender: str = MMSC,
        route: str = "",
        params: str = "",
        edit: tuple[str, str] = ("", ""),
    ) -> Outcome:
        scenario = tmp_path / "message.xml"
        text = (SHARED / "uac-message.xml").read_text().replace(*edit)
        scenario.write_text(text.replace('response="200"', f'response="{expect}"'))
        keys = {"route": route, "params": params}
        return Sipp(scenario, folder=tmp_path, to=scscf.address, inf=[[to, sender]], keys=keys).run()

    return send_message


@pytest.fixture
def application_server(tmp_path: Path, as_port: int) -> Callable[[str, int], Sipp]:
    """An application server of SIPp: a scenario's name and how many requests it takes."""

    def make(name: str, calls: int) -> Sipp:
        return Sipp(SHARED / name, folder=tmp_path, local_port=as_port, calls=calls)

    return make


def test_a_push_reaches_every_contact_of_the_user_with_what_it_carried(start: StartScscf, send: Send) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address) as phone, handset_in_thread(ALICE, scscf.address) as tablet:
        outcome = send(scscf, ALICE)

        assert outcome.exit_code == 0, str(outcome)
        for device in (phone, tablet):
            (push,) = device.wait_for_pushes(1)
            message = push.message
            assert push.body == b"notification"
            assert message.start_line.startswith("MESSAGE sip:alice@127.0.0.1:")
            assert message.header("P-Called-Party-ID") == f"<{ALICE}>"
            assert message.header("P-Asserted-Identity") == f"<{MMSC}>"
            assert message.header("Accept-Contact") == '*;+g.oma.pusheventapp="mms.ua";require;explicit'
            assert message.header("X-Kept") == "as it came"
            assert message.all("Route") == []


def test_the_200_to_register_echoes_tags_and_names_the_service_route(start: StartScscf) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address, apps=["mms.ua", "ulp.ua"], expires_s=300) as alice:
        granted = alice.handset.granted

        assert granted is not None
        assert granted.header("Service-Route") == f"<sip:orig@127.0.0.1:{scscf.address[1]};lr>"
        assert granted.header("P-Associated-URI") == f"<{ALICE}>"
        assert '+g.oma.pusheventapp="mms.ua,ulp.ua"' in granted.header("Contact")
        # A second may end between storing and answering.
        assert re.search(r";expires=(?:300|299)\b", granted.header("Contact"))
        assert "+g.oma.pusheventapp" not in alice.register(apps=[]).header("Contact")


def test_each_contact_keeps_its_own_tags_in_the_200(start: StartScscf) -> None:
    scscf = start()
    with (
        handset_in_thread(ALICE, scscf.address, apps=["mms.ua"]),
        handset_in_thread(ALICE, scscf.address, apps=["ulp.ua"]) as second,
    ):
        granted = second.handset.granted

        assert granted is not None
        tags = sorted(contact.rpartition("=")[2] for contact in granted.all("Contact"))
        assert tags == ['"mms.ua"', '"ulp.ua"']


def test_the_as_is_told_of_registering_and_of_leaving(
    start: StartScscf, application_server: Callable[[str, int], Sipp]
) -> None:
    scscf = start()
    with application_server("as-takes-register.xml", 2) as server:
        with handset_in_thread(ALICE, scscf.address, apps=["mms.ua"], expires_s=600):
            pass
        outcome = server.finish()

    assert outcome.exit_code == 0, str(outcome)
    told = outcome.messages.split("REGISTER sip:127.0.0.1:")[1:]
    # Two workers: leaving may be told before registering, which is told after its answer.
    first, last = sorted(told, key=lambda text: "Expires: 0" in text.partition("message/sip")[0])
    assert f"To: <{ALICE}>" in first
    assert f"From: <{scscf.uri}>;tag=" in first
    assert f"Contact: <{scscf.uri}>" in first
    assert "Expires: 720" in first.partition("message/sip")[0]
    assert '+g.oma.pusheventapp="mms.ua"' in first.partition("message/sip")[2]
    assert "Expires: 0" in last.partition("message/sip")[0]


@pytest.mark.parametrize(
    ("to", "code"),
    [
        pytest.param(BOB, 480, id="nobody registered"),
        pytest.param("sip:carol@elsewhere.example", 404, id="not our domain"),
        pytest.param("tel:+15550102", 480, id="telephone number"),
    ],
)
def test_who_cannot_be_reached_gets_the_code_of_the_real_one(
    start: StartScscf, send: Send, to: str, code: int
) -> None:
    outcome = send(start(), to, expect=code)

    assert outcome.exit_code == 0, str(outcome)


def test_the_answer_of_the_handset_comes_back(start: StartScscf, send: Send) -> None:
    scscf = start()
    refusal = Answer(415, headers=(("Accept", "text/plain"),))
    with handset_in_thread(ALICE, scscf.address, answer=refusal):
        outcome = send(scscf, ALICE, expect=415)

    assert outcome.exit_code == 0, str(outcome)
    assert "Accept: text/plain" in outcome.messages


@pytest.mark.parametrize(
    ("criteria", "route", "params", "served", "case"),
    [
        pytest.param(["WITH_ISC_MESSAGE"], "orig@", "", ALICE, "orig", id="from the user"),
        pytest.param(["WITH_ISC_TERM"], "", "", BOB, "term", id="to the user"),
        pytest.param(
            ["WITH_ISC_MESSAGE", "WITH_ISC_TERM"], "orig@", "", ALICE, "orig", id="from one to another"
        ),
        pytest.param(
            ["WITH_ISC_MESSAGE", "WITH_ISC_TERM"],
            "iscmark@",
            ORIG_MARK,
            BOB,
            "term",
            id="and then to the other",
        ),
    ],
)
def test_criteria_bring_a_message_to_the_as_with_mark_and_served_user(
    start: StartScscf,
    send: Send,
    application_server: Callable[[str, int], Sipp],
    criteria: list[str],
    route: str,
    params: str,
    served: str,
    case: str,
) -> None:
    scscf = start(*criteria)
    with ExitStack() as running:
        with application_server("as-takes-register.xml", 1) as server:
            bob = running.enter_context(handset_in_thread(BOB, scscf.address))
            assert server.finish().exit_code == 0
        server = running.enter_context(application_server("as-takes-message.xml", 1))
        sent = send(scscf, BOB, sender=ALICE, route=route, params=params)
        taken = server.finish()
        pushes = bob.pushes

    assert (sent.exit_code, taken.exit_code) == (0, 0), f"{sent}{taken}"
    state = "reg" if served == BOB else "unreg"
    assert f"P-Served-User: <{served}>;sescase={case};regstate={state}\n" in taken.messages
    assert f";a={served.encode().hex()}>" in taken.messages
    assert pushes == []


def test_what_comes_back_with_the_mark_goes_on_and_is_not_triggered_again(
    start: StartScscf, send: Send
) -> None:
    scscf = start("WITH_ISC_MESSAGE", "WITH_ISC_TERM")
    with handset_in_thread(BOB, scscf.address) as bob:
        outcome = send(scscf, BOB, sender=ALICE, route="iscmark@", params=TERM_MARK)

        assert outcome.exit_code == 0, str(outcome)
        (push,) = bob.wait_for_pushes(1)
        assert push.message.all("Route") == []


def test_subscribe_of_a_user_goes_to_the_as_and_records_the_route(
    start: StartScscf, send: Send, tmp_path: Path, as_port: int
) -> None:
    scscf = start("WITH_ISC_SUBSCRIBE")
    scenario = tmp_path / "as.xml"
    text = (SHARED / "as-takes-message.xml").read_text()
    scenario.write_text(text.replace('request="MESSAGE"', 'request="SUBSCRIBE"'))
    with Sipp(scenario, folder=tmp_path, local_port=as_port) as server:
        sent = send(scscf, ALICE, sender=ALICE, route="orig@", edit=("MESSAGE", "SUBSCRIBE"))
        taken = server.finish()

    assert (sent.exit_code, taken.exit_code) == (0, 0), f"{sent}{taken}"
    assert f"Record-Route: <{scscf.uri};lr" in taken.messages


def test_the_service_identity_leads_to_the_as(
    start: StartScscf, send: Send, application_server: Callable[[str, int], Sipp]
) -> None:
    scscf = start()
    with application_server("uas-message.xml", 1) as server:
        sent = send(scscf, "sip:psa@push.home1.example", sender=ALICE, route="orig@")
        taken = server.finish()

    assert (sent.exit_code, taken.exit_code) == (0, 0), f"{sent}{taken}"


def test_a_request_inside_a_dialog_goes_to_its_contact(start: StartScscf, send: Send) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address) as alice:
        host, port = alice.handset.address
        outcome = send(scscf, f"sip:alice@{host}:{port}", edit=("To: <[field0]>", "To: <sip:a@b>;tag=1"))

        assert outcome.exit_code == 0, str(outcome)
        (push,) = alice.wait_for_pushes(1)
        assert push.message.header("P-Called-Party-ID") == ""


def test_the_scscf_serves_tcp_as_well(start: StartScscf, tmp_path: Path) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address) as alice:
        outcome = Sipp(
            SHARED / "uac-message.xml",
            folder=tmp_path,
            to=scscf.address,
            inf=[[ALICE, MMSC]],
            keys={"route": "", "params": ""},
            tcp=True,
        ).run()

        assert outcome.exit_code == 0, str(outcome)
        assert len(alice.wait_for_pushes(1)) == 1
