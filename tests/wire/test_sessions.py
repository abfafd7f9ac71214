"""Sessions on the wire: INVITE with an offer of files, what follows its answer, and BYE."""

import hashlib
from collections.abc import Iterator

import pytest

from omapush.push.session import LOST, TAKEN
from omapush.store import outbox_views, pushes
from tests.fakes.sip_text import SipText, reply
from tests.harness.session_device import SESSIONS, TAKES, Device, employ, m_lines
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until

APP = "large.ua"
ONCE = "large-once.ua"
CONTENT = b"\x89PNG" * 1_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, Kamailio and notifier, and a media worker that the tests play."""
    with Stack(tmp_path_factory.mktemp("sessions"), SESSIONS, ("redis", "sip", "notifier")) as running:
        employ(running)
        yield running


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    with SipPeer(stack.core_port) as core:
        yield Device(stack, core)


def push(device: Device, content: bytes = CONTENT, app: str = APP, **more: str) -> str:
    headers = [("Content-Disposition", more.pop("disposition"))] if "disposition" in more else []
    return device.stack.submit(device.aor, content, app=app, content_type="image/png", headers=headers)


def is_held(stack: Stack, ref: str) -> bool:
    [delivery] = pushes.open_deliveries(stack.store, ref)
    return outbox_views.whereabouts(stack.store, delivery) == "held"


@pytest.mark.req("PSA-MSRP-1")
def test_a_large_push_is_offered_as_a_file(device: Device) -> None:
    push(device, disposition='attachment; filename="menu.png"')

    invite = device.invite

    assert invite.start_line == f"INVITE {device.aor} SIP/2.0"
    assert invite.header("Route") == f"<sip:127.0.0.1:{device.core.port};lr>"
    assert invite.header("Contact") == f"<sip:127.0.0.1:{device.stack.sip[1]}>"
    assert invite.header("Accept-Contact") == f'*;+g.oma.pusheventapp="{APP}"'
    assert invite.header("P-Asserted-Identity") == "<sip:mmsc@home1.example>"
    assert invite.header("Content-Type") == "application/sdp"
    [line] = m_lines(invite.body)
    digest = hashlib.sha1(CONTENT, usedforsecurity=False).digest().hex(":").upper()
    assert line.text.startswith("m=message 2855 TCP/MSRP *")
    assert line.value("file-selector") == f'name:"menu.png" type:image/png size:4000 hash:sha-1:{digest}'
    assert line.value("file-disposition") == "attachment"
    assert len(line.value("file-transfer-id")) == 32
    assert line.value("path").startswith("msrp://127.0.0.1:2855/")
    assert (line.value("setup"), line.value("accept-types"), line.value("accept-wrapped-types")) == (
        "actpass",
        "*",
        "*",
    )
    assert line.all("sendonly") == [""]
    assert not line.all("connection")


@pytest.mark.req("PSA-MSRP-2", "PSA-MSRP-5", "PSA-MSRP-6", "PSA-MSRP-16")
def test_the_session_ends_with_its_only_file_and_not_before(device: Device) -> None:
    ref = push(device)
    device.until("open", "agreed")
    assert is_held(device.stack, ref)
    assert not device.all("BYE")

    device.transferred()

    [bye] = device.wait("BYE")
    assert bye.start_line == f"BYE sip:device@127.0.0.1:{device.core.port} SIP/2.0"
    assert bye.header("From") == device.invite.header("From")
    assert bye.header("To") == f"<{device.aor}>;tag={device.tag}"
    assert bye.header("Call-ID") == device.invite.header("Call-ID")
    assert bye.header("CSeq") == "2 BYE"
    result = device.stack.result(ref)
    assert (result.state, result.code, result.method, result.sip_code) == (
        "delivered",
        "1000",
        "INVITE",
        200,
    )
    device.until("ended", "ended")
    assert device.all("ACK")[0].header("CSeq") == "1 ACK"
    assert len(device.all("INVITE")) == 1


@pytest.mark.req("PSA-MSRP-7", "PSA-MSRP-4", "PSA-MSRP-11")
def test_requests_in_the_session_take_the_way_that_its_answer_recorded(device: Device) -> None:
    core = f"127.0.0.1:{device.core.port}"
    device.record_route = f"<sip:far@{core};lr>, <sip:near@{core};lr>"
    push(device)
    device.until("open", "agreed")

    device.transferred()

    for one in (device.wait("ACK")[0], device.wait("BYE")[0]):
        routes = ", ".join(one.all("Route")).replace(" ", "")
        assert routes == f"<sip:near@{core};lr>,<sip:far@{core};lr>"
        assert one.start_line.split()[1] == f"sip:device@{core}"


@pytest.mark.req("PSA-MSRP-7")
def test_the_ack_of_a_reinvite_goes_the_way_of_its_dialog_though_its_answer_recorded_none(
    device: Device,
) -> None:
    """Proxies record a route in the request that creates a dialog; in later ones they need not."""
    core = f"127.0.0.1:{device.core.port}"
    device.record_route = f"<sip:far@{core};lr>, <sip:near@{core};lr>"
    push(device)
    device.until("open", "agreed")
    device.record_route = ""

    push(device, b"another" * 500)
    device.wait("INVITE", 2)
    device.until("open", "agreed,agreed")

    first, second = device.wait("ACK", 2)
    assert [one.header("CSeq") for one in (first, second)] == ["1 ACK", "2 ACK"]
    assert second.all("Route") == first.all("Route")
    assert "near" in ", ".join(second.all("Route"))
    device.transferred(0)
    device.transferred(1)
    assert len(device.wait("BYE")) == 1


@pytest.mark.req("PSA-MSRP-4", "PSA-MSRP-11")
def test_all_requests_and_answers_of_a_session_have_the_charging_vector_of_their_dialog(
    device: Device,
) -> None:
    """TS 24.229 5.7: ours with its icid and our operator; our answers with what came, and who we are."""
    push(device)
    device.until("open", "agreed")
    vector = 'icid-value="ab12";orig-ioi="Type 3scscf.example"'

    answers = [device.asks("UPDATE", P_Charging_Vector=vector), device.asks("INFO", P_Charging_Vector=vector)]
    assert [one.status for one in answers] == [200, 405]
    device.transferred()

    ours = {one.header("P-Charging-Vector") for one in (device.invite, device.wait("BYE")[0])}
    call_id = device.invite.header("Call-ID")
    assert ours == {f'icid-value="{call_id}";icid-generated-at=127.0.0.1;orig-ioi="Type 3home1.example"'}
    theirs = {one.header("P-Charging-Vector") for one in answers}
    assert theirs == {f'{vector};term-ioi="Type 3home1.example"'}


@pytest.mark.req("PSA-MSRP-10")
def test_the_worker_is_told_that_it_is_over_only_after_the_200_to_the_bye(device: Device) -> None:
    device.core.policy = lambda one: None if one.method == "BYE" else device.policy(one)
    push(device)
    device.until("open", "agreed")
    device.transferred()
    device.wait("BYE")
    assert device.until("closing").asked == "BYE"

    device.core.policy = device.policy

    device.until("ended")  # the repetition of the BYE is answered


@pytest.mark.parametrize(
    ("code", "state", "pap"),
    [
        (300, "undeliverable", "4000"),
        (403, "aborted", "5027"),
        (404, "undeliverable", "2003"),
        (413, "undeliverable", "5029"),
        (415, "aborted", "5030"),
        (480, "undeliverable", "5028"),
        (486, "undeliverable", "5028"),
        (488, "aborted", "5030"),
        (500, "aborted", "5026"),
        (603, "aborted", "5026"),
    ],
)
def test_a_refused_invite_gives_the_result_of_its_code(
    device: Device, code: int, state: str, pap: str
) -> None:
    device.answers = [Says(code, "Not Today")]
    ref = push(device, app=ONCE)

    result = device.stack.result(ref)

    assert (result.state, result.code, result.sip_code, result.method) == (state, pap, code, "INVITE")
    assert str(code) in result.desc
    assert device.until("ended", "ended").dialog.remote_tag == ""
    assert not device.all("BYE")
    assert [one.header("CSeq") for one in device.all("ACK")] == ["1 ACK"]


def test_a_busy_device_is_invited_again_with_the_same_file_transfer_id(device: Device) -> None:
    device.answers = [Says(486, "Busy"), TAKES]
    ref = push(device, app="large-twice.ua")
    first, second = device.wait("INVITE", 2)
    device.until("open", "agreed")

    device.transferred()

    assert device.stack.result(ref).attempts == 2
    ids = [m_lines(one.body)[0].value("file-transfer-id") for one in (first, second)]
    paths = [m_lines(one.body)[0].value("path") for one in (first, second)]
    assert ids[0] == ids[1]
    assert paths[0] != paths[1]
    assert first.header("Call-ID") != second.header("Call-ID")


@pytest.mark.parametrize(
    ("change", "state", "code", "words"),
    [
        ({"refuse": frozenset({0})}, "aborted", "5026", "refused the file"),
        ({"accept_types": "text/plain"}, "aborted", "5030", "takes text/plain"),
        ({"extra": "a=max-size:100\r\n"}, "undeliverable", "5029", "takes 100 octets"),
        ({"extra": "a=file-range:5000-*\r\n"}, "aborted", "5026", "from 5000 on"),
        ({"extra": "a=path:msrp://nowhere\r\n", "setup": "sideways"}, "aborted", "5026", "a=setup"),
    ],
)
def test_an_answer_that_takes_no_file_ends_the_session(
    device: Device, change: dict[str, object], state: str, code: str, words: str
) -> None:
    for name, value in change.items():
        setattr(device, name, value)
    ref = push(device, app=ONCE)

    result = device.stack.result(ref)

    assert (result.state, result.code) == (state, code)
    assert words in result.desc
    assert len(device.wait("BYE")) == 1
    device.until("ended")


def test_an_answer_without_a_session_description_ends_the_session(device: Device) -> None:
    device.answers = [Says(200, "OK", {"Contact": f"<sip:d@127.0.0.1:{device.core.port}>"}, to_tag="bare")]
    ref = push(device, app=ONCE)

    assert "cannot be read" in device.stack.result(ref).desc
    assert device.wait("BYE")[0].header("To").endswith(";tag=bare")


def test_a_description_beside_something_else_is_found_in_the_answer(device: Device) -> None:
    """RFC 5621; a gateway to another network brings its own words along."""
    isup = "Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal;handling=optional"
    device.beside = (isup, b"\x06\x16\x04\x00")
    ref = push(device)
    device.until("open", "agreed")

    device.transferred()

    assert device.stack.result(ref).state == "delivered"


def test_an_answer_in_compact_form_and_folded_is_read_like_any_other(device: Device) -> None:
    """RFC 3261 7.3.1, 7.3.3; early dialogs of other devices come before it."""
    core = f"127.0.0.1:{device.core.port}"

    def answers(one: SipText) -> Says | None:
        if one.method != "INVITE":
            return OK
        for tag in ("early1", "early2"):
            early = Says(183, "Session Progress", {"Contact": f"<sip:other@{core}>", "RSeq": "1"})
            raw = reply(one, early.code, early.phrase, early.headers.items(), tag, b"")
            device.core.send(raw, device.stack.sip)
        taken = device.takes(one)
        headers = {
            "m": f'"Ger\u00e4t, \\"eins\\""\r\n <sip:device@{core}>\r\n\t;expires=5',
            "c": "application/sdp",
            "Record-Route": f"<sip:far@{core};lr>,\r\n <sip:near@{core};lr>",
        }
        return Says(200, "OK", headers, taken.body, device.tag)

    device.core.policy = answers
    ref = push(device)
    device.until("open", "agreed")

    device.transferred()

    [bye] = device.wait("BYE")
    assert bye.start_line == f"BYE sip:device@{core} SIP/2.0"
    assert bye.header("To").endswith(f";tag={device.tag}")
    assert [name in ", ".join(bye.all("Route")) for name in ("near", "far")] == [True, True]
    assert device.stack.result(ref).state == "delivered"


@pytest.mark.parametrize("code", [300, 302, 305, 380])
def test_a_redirection_is_not_followed(device: Device, code: int) -> None:
    """A device must not lead requests, and the identity that they assert, to places of its choice."""
    device.answers = [Says(code, "Elsewhere", {"Contact": f"<sip:new@127.0.0.1:{device.core.port}>;q=0.5"})]
    ref = push(device)

    result = device.stack.result(ref)

    assert (result.state, result.code, result.sip_code) == ("undeliverable", "4000", code)
    assert len(device.all("INVITE")) == 1


def test_an_answer_with_a_contact_that_no_request_reaches_ends_the_session(device: Device) -> None:
    device.answers = [Says(200, "OK", {"Contact": "<tel:+15551234>"}, to_tag="phone")]
    ref = push(device, app=ONCE)

    assert "Contact" in device.stack.result(ref).desc
    assert device.wait("BYE")[0].header("To").endswith(";tag=phone")


def test_what_the_worker_needs_of_the_answer_is_in_the_record(device: Device) -> None:
    device.setup = "active"
    device.extra = "a=file-range:1001-*\r\n"
    push(device)

    [stream] = device.until("open", "agreed").streams

    assert stream.connects is False
    assert stream.peer_path == f"msrp://127.0.0.1:7394/0{device.tag};tcp"
    assert (stream.start, stream.stop, stream.size) == (1001, 0, 4_000)


@pytest.mark.req("PSA-MSRP-17")
@pytest.mark.parametrize(
    ("code", "state", "pap"),
    [
        (403, "aborted", "5027"),
        (413, "aborted", "5029"),
        (415, "aborted", "5030"),
        (481, "undeliverable", "4000"),
        (408, "undeliverable", "4000"),
        (LOST, "undeliverable", "4000"),
        (TAKEN, "unknown", "4000"),
    ],
)
def test_a_transfer_that_fails_gives_the_result_of_its_code(
    device: Device, code: int, state: str, pap: str
) -> None:
    ref = push(device, app=ONCE)
    device.until("open", "agreed")

    device.transferred(code=code, why="so it went")

    result = device.stack.result(ref)
    assert (result.state, result.code, result.method) == (state, pap, "INVITE")
    assert "so it went" in result.desc
    assert len(device.wait("BYE")) == 1


@pytest.mark.req("PSA-MSRP-8", "PSA-MSRP-9")
def test_finished_files_of_a_shared_session_are_closed_while_another_lives(device: Device) -> None:
    refs = [push(device, CONTENT + bytes([number])) for number in range(3)]
    session = device.until("open", "agreed,agreed,agreed")
    assert len(m_lines(device.invite.body)) == 3
    device.transferred(0)
    device.transferred(2)

    again = device.wait("INVITE", 2)[1]

    first, lines = m_lines(device.invite.body), m_lines(again.body)
    assert [line.port for line in lines] == [0, 2855, 0]
    for name in ("file-transfer-id", "file-selector", "path"):
        assert [line.value(name) for line in lines] == [line.value(name) for line in first]
    assert again.header("CSeq") == "2 INVITE"
    assert again.start_line == f"INVITE sip:device@127.0.0.1:{device.core.port} SIP/2.0"
    assert again.body.split(b"\r\n")[1].split()[2] == b"2"  # o= says another version
    device.until("open", "closed,agreed,closed")
    assert [device.stack.result(ref).state for ref in (refs[0], refs[2])] == ["delivered"] * 2
    assert is_held(device.stack, refs[1])
    assert not device.all("BYE")

    device.transferred(1)

    assert device.stack.result(refs[1]).state == "delivered"
    assert device.wait("BYE")[0].header("CSeq") == "3 BYE"
    assert device.until("ended").id == session.id
    assert len(device.all("INVITE")) == 2


def test_each_file_of_a_shared_session_has_its_own_result(device: Device) -> None:
    device.refuse = frozenset({1})
    refs = [push(device, CONTENT + bytes([number]), app=ONCE) for number in range(3)]
    device.until("open", "agreed,closed,agreed")
    device.transferred(0)
    device.transferred(2, 413, "stopped at 2048")

    results = [device.stack.result(ref) for ref in refs]

    assert [(one.state, one.code) for one in results] == [
        ("delivered", "1000"),
        ("aborted", "5026"),
        ("aborted", "5029"),
    ]
    device.until("ended")


def test_a_push_that_comes_later_joins_the_session(device: Device) -> None:
    first = push(device)
    device.until("open", "agreed")
    second = push(device, b"another" * 500)

    again = device.wait("INVITE", 2)[1]

    lines = m_lines(again.body)
    assert [line.port for line in lines] == [2855, 2855]
    assert (
        lines[0].text.split("a=file-date")[0] == m_lines(device.invite.body)[0].text.split("a=file-date")[0]
    )
    device.until("open", "agreed,agreed")
    device.transferred(0)
    device.transferred(1)
    assert [device.stack.result(ref).state for ref in (first, second)] == ["delivered"] * 2
    device.until("ended")


def test_a_push_of_another_initiator_waits_for_a_session_in_its_own_name(device: Device) -> None:
    """Its content must not come to the device under the identity of the first."""
    first = push(device)
    device.until("open", "agreed")
    second = device.stack.submit(
        device.aor, CONTENT[4:], app=APP, content_type="image/png", initiator="untrusted"
    )
    wait_until(lambda: is_held(device.stack, second), 5, "the second is held")
    assert len(m_lines(device.wait("INVITE")[-1].body)) == 1

    device.transferred()
    own = device.wait("INVITE", 2)[1]
    device.until("open", "agreed")
    device.transferred()

    assert device.invite.all("P-Asserted-Identity") == ["<sip:mmsc@home1.example>"]
    assert own.all("P-Asserted-Identity") == []
    assert own.header("Call-ID") != device.invite.header("Call-ID")
    assert [device.stack.result(ref).state for ref in (first, second)] == ["delivered"] * 2


def test_a_push_of_another_application_gets_a_session_of_its_own(device: Device) -> None:
    push(device)
    push(device, app=ONCE)

    first, second = device.wait("INVITE", 2)

    assert first.header("Call-ID") != second.header("Call-ID")
    assert {one.header("Accept-Contact")[-11:] for one in (first, second)} == {'="large.ua"', 'ge-once.ua"'}


def test_small_messages_go_on_while_a_file_is_transferred(device: Device) -> None:
    push(device)
    device.until("open", "agreed")

    small = device.stack.submit(device.aor, b"small", app="mms.ua")

    assert device.stack.result(small).method == "MESSAGE"
    device.transferred()


def test_a_route_set_for_which_the_other_headers_have_no_room_is_in_all_requests_of_the_dialog(
    device: Device,
) -> None:
    """Kamailio takes 2,048 bytes of headers from us; beyond, a session could be begun and not ended."""
    core = f"127.0.0.1:{device.core.port}"
    routes = [f"<sip:{'x' * 200}{n}@{core};lr>" for n in range(20)]
    device.record_route = ", ".join(routes)
    ref = push(device)
    device.until("open", "agreed")

    device.transferred()

    [bye] = device.wait("BYE")
    assert ", ".join(bye.all("Route")).replace(">,<", ">, <") == ", ".join(reversed(routes))
    assert bye.header("CSeq") == "2 BYE"
    assert device.stack.result(ref).state == "delivered"


def test_more_routes_than_are_kept_end_the_session_and_its_push_says_why(device: Device) -> None:
    device.record_route = ", ".join(f"<sip:{n}@127.0.0.1:{device.core.port};lr>" for n in range(40))
    ref = push(device, app=ONCE)

    assert "Record-Route" in device.stack.result(ref).desc
    assert device.wait("BYE")[0].header("To").endswith(f";tag={device.tag}")
