"""REGISTER of the receiver, against a registrar of a few lines."""

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from omapush.errors import BadConfiguration, MalformedSip
from omapush.receiver import (
    Credentials,
    Listen,
    PreferencesNotSupported,
    Receiver,
    RegistrationFailed,
    TransportFailed,
)
from omapush.receiver.milenage import Sim
from omapush.receiver.registration import refresh_in
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import Policy, Says
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, grant, registered, request, requests, wait_for


def refused(policy: Policy, **settings: object) -> RegistrationFailed:
    """How registering fails."""
    with pytest.raises(RegistrationFailed) as caught, registered(policy, **settings):
        pass
    return caught.value


@pytest.mark.req("PRA-REG-1", "PRA-REG-2", "PRA-REG-3", "PRA-REG-4", "PRA-REG-5", "PRA-REG-7")
def test_a_device_registers_all_its_applications_and_leaves_with_expires_0() -> None:
    with registered(apps=("mms.ua", "ulp.ua")) as (peer, device):
        first = requests(peer, "REGISTER")[0]
        assert first.start_line == "REGISTER sip:home1.example SIP/2.0"
        assert first.header("Require") == "pref"
        assert first.header("Supported") == "path, gruu"
        assert first.header("Expires") == "600"
        contact = first.header("Contact")
        assert ';+g.oma.pusheventapp="mms.ua,ulp.ua"' in contact
        assert ';+sip.message;methods="MESSAGE,NOTIFY,REFER,OPTIONS,INVITE,ACK,BYE,CANCEL"' in contact
        assert re.search(r';\+sip\.instance="<urn:uuid:[0-9a-f-]{36}>"', contact)
        assert device.receiver.is_registered

    last = requests(peer, "REGISTER")[-1]
    assert last.header("Expires") == "0"
    assert ";expires=0" in last.header("Contact")
    assert last.header("Call-ID") == first.header("Call-ID")
    assert int(last.header("CSeq").split()[0]) > int(first.header("CSeq").split()[0])


@pytest.mark.req("PRA-REG-1")
@pytest.mark.parametrize("rewrites", [False, True])
def test_what_the_device_left_behind_is_removed_by_its_instance(rewrites: bool) -> None:
    mine, others = "sip:alice@192.0.2.7:4000", "sip:alice@192.0.2.8:4000"
    instance = "urn:uuid:00000000-0000-4000-8000-000000000001"

    def policy(one: SipText) -> Says | None:
        if one.method != "REGISTER" or len(one.all("Contact")) > 1:
            return grant(one)
        own = one.header("Contact").replace(">;", ";ob>;", 1) if rewrites else one.header("Contact")
        of_device = f'+sip.instance="<{instance}>";expires=9'
        kept = [
            f"<sip:phone@192.0.2.7>;{of_device}",
            f"<{others}>;{of_device};reg-id=1",
            f'<{others};x>;+sip.instance="<urn:another>";expires=9',
        ]
        return Says(200, "OK", {"Contact": ", ".join((own, f"<{mine}>;{of_device}", *kept))})

    with registered(policy, instance=instance) as (peer, device):
        asked = [one.all("Contact")[1:] for one in requests(peer, "REGISTER")]
        assert asked == ([[]] if rewrites else [[], [f"<{mine}>;expires=0"]])
        assert device.receiver.is_registered


@pytest.mark.req("PRA-REG-1")
def test_the_binding_is_refreshed_before_it_ends() -> None:
    def brief(request: SipText) -> Says:
        contact = request.header("Contact").replace("expires=600", "expires=1")
        return Says(200, "OK", {"Contact": contact})

    with registered(brief) as (peer, _):
        second = wait_for(peer, "REGISTER", 2)
        assert second.header("Expires") == "600"


@pytest.mark.parametrize(("granted", "wait"), [(600_000, 599_400), (1_201, 601), (1_200, 600), (60, 30)])
@pytest.mark.req("PRA-REG-8")
def test_a_long_lifetime_is_refreshed_600_s_before_its_end_and_a_short_one_at_half(
    granted: int, wait: int
) -> None:
    assert refresh_in(granted) == wait


@pytest.mark.req("PRA-REG-6")
def test_a_device_that_leaves_push_registers_again_without_the_tag() -> None:
    with registered(apps=("mms.ua",)) as (peer, device):
        device.call(device.receiver.leave_push())
        left = requests(peer, "REGISTER")[1]
        assert "pusheventapp" not in left.header("Contact")
        assert "+sip.instance" in left.header("Contact")
        assert left.header("Expires") == "600"

        device.call(device.receiver.join_push())
        assert 'pusheventapp="mms.ua"' in requests(peer, "REGISTER")[2].header("Contact")


@pytest.mark.req("PRA-REG-4")
def test_a_registrar_without_preferences_is_told_clearly() -> None:
    error = refused(lambda _: Says(420, "Bad Extension", {"Unsupported": "pref"}))

    assert isinstance(error, PreferencesNotSupported)
    assert "does not support caller preferences" in str(error)


def test_with_pref_optional_the_device_registers_without_it() -> None:
    def policy(request: SipText) -> Says | None:
        if request.header("Require"):
            return Says(420, "Bad Extension", {"Unsupported": "pref"})
        return grant(request)

    with registered(policy, pref_optional=True) as (peer, device):
        assert device.receiver.is_registered
        assert [bool(one.header("Require")) for one in requests(peer, "REGISTER")] == [True, False]


def test_a_longer_lifetime_is_asked_for_when_the_registrar_wants_it() -> None:
    def policy(request: SipText) -> Says | None:
        if int(request.header("Expires") or 0) in range(1, 1800):
            return Says(423, "Interval Too Brief", {"Min-Expires": "1800"})
        return grant(request)

    with registered(policy) as (peer, _):
        assert [one.header("Expires") for one in requests(peer, "REGISTER")] == ["600", "1800"]


@pytest.mark.parametrize("least", ["600", "x", ""])
def test_a_423_that_asks_for_nothing_longer_ends_the_try(least: str) -> None:
    assert refused(lambda _: Says(423, "Interval Too Brief", {"Min-Expires": least})).status == 423


@pytest.mark.parametrize(("code", "words"), [(403, "forbidden"), (404, "unknown user"), (503, "refused")])
def test_a_refusal_is_told_with_its_code(code: int, words: str) -> None:
    error = refused(lambda _: Says(code, "No", {"Retry-After": "7"}))

    assert (error.status, error.retry_after_s) == (code, 7)
    assert words in str(error)


def test_a_registrar_that_keeps_silent_is_told_after_64_t1() -> None:
    error = refused(lambda _: None)

    assert error.status == 0
    assert "no answer" in str(error)


@pytest.mark.parametrize("contact", ["<sip:someone@192.0.2.1>;expires=60", "not a contact <"])
def test_an_answer_without_our_contact_is_no_registration(contact: str) -> None:
    assert refused(lambda _: Says(200, "OK", {"Contact": contact})).status == 200


@pytest.mark.req("PRA-REG-8")
def test_service_route_and_gruu_are_used_from_then_on() -> None:
    gruu = "sip:alice@home1.example;gr=urn:uuid:1"

    def policy(request: SipText) -> Says | None:
        if request.method != "REGISTER":
            return grant(request)
        contact = f'{request.header("Contact")};pub-gruu="{gruu}"'
        other = "<sip:alice@192.0.2.9>;expires=5"
        route = "<sip:orig@scscf.home1.example;lr>"
        return Says(
            200, "OK", {"Contact": f"{other}, {contact}", "Service-Route": route, "Path": "<sip:p;lr>"}
        )

    with registered(policy, subscribe_to=(("mms.ua", "sip:psa@home1.example"),)) as (peer, _):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert subscribe.all("Route") == [
            f"<sip:127.0.0.1:{peer.port};lr>",
            "<sip:orig@scscf.home1.example;lr>",
        ]
        assert subscribe.header("Contact").startswith(f"<{gruu}>")


@pytest.mark.parametrize(("algorithm", "digest"), [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)])
def test_a_challenge_is_answered_and_its_nonce_used_again(algorithm: str, digest: object) -> None:
    answers: list[dict[str, str]] = []

    def policy(request: SipText) -> Says | None:
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', request.header("Authorization")))
        if not fields.get("response"):
            value = f'Digest realm="home1.example", nonce="n1", qop="auth", algorithm={algorithm}'
            return Says(401, "Unauthorized", {"WWW-Authenticate": value})
        answers.append(fields)
        return grant(request)

    credentials = Credentials("alice-private@home1.example", "secret")
    with registered(policy, credentials=credentials) as (peer, device):
        device.call(device.receiver.refresh())

        first = requests(peer, "REGISTER")[0].header("Authorization")
        assert 'username="alice-private@home1.example"' in first
        assert 'nonce=""' in first
    assert [fields["nc"] for fields in answers] == ["00000001", "00000002", "00000003"]
    for fields in answers:
        assert fields["response"] == expected(digest, fields)


def expected(digest: object, fields: dict[str, str]) -> str:
    """RFC 7616 3.4.1, written once more."""
    assert callable(digest)

    def hashed(text: str) -> str:
        return str(digest(text.encode()).hexdigest())

    ha1 = hashed(f"{fields['username']}:home1.example:secret")
    ha2 = hashed(f"REGISTER:{fields['uri']}")
    return hashed(f"{ha1}:n1:{fields['nc']}:{fields['cnonce']}:auth:{ha2}")


def test_wrong_credentials_are_told_and_not_repeated() -> None:
    seen = count()

    def policy(_request: SipText) -> Says:
        next(seen)
        return Says(401, "Unauthorized", {"WWW-Authenticate": 'Digest realm="r", nonce="same"'})

    error = refused(policy, credentials=Credentials(password="wrong"))
    assert error.status == 401
    assert "wrong credentials" in str(error)
    assert next(seen) == 2


def test_without_credentials_a_challenge_is_a_refusal() -> None:
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n"'}
    assert refused(lambda _: Says(401, "Unauthorized", challenge)).status == 401


K, OPC = bytes(range(16)), bytes(range(16, 32))


def aka_challenge(sqn: int, key: bytes = K) -> dict[str, str]:
    """What a home network with the key asks."""
    sim = Sim.of(key, opc=OPC)
    number = sqn.to_bytes(6, "big")
    vector = sim.vector(bytes(16), number, b"\x80\x00")
    hidden = bytes(a ^ b for a, b in zip(number, vector.ak, strict=True))
    nonce = base64.b64encode(bytes(16) + hidden + b"\x80\x00" + vector.mac_a).decode()
    return {
        "WWW-Authenticate": f'Digest realm="home1.example", nonce="{nonce}", algorithm=AKAv1-MD5, qop="auth"'
    }


@pytest.mark.req("SEC-3")
def test_a_sim_answers_aka_after_synchronisation() -> None:
    def policy(request: SipText) -> Says | None:
        proof = request.header("Authorization")
        if "auts=" in proof:
            return Says(401, "Unauthorized", aka_challenge(101))
        if 'response=""' in proof or not proof:
            return Says(401, "Unauthorized", aka_challenge(7))
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', proof))
        res = Sim.of(K, opc=OPC).vector(bytes(16), bytes(6), bytes(2)).res
        ha1 = hashlib.md5(b"alice@home1.example:home1.example:" + res).hexdigest()
        ha2 = hashlib.md5(f"REGISTER:{fields['uri']}".encode()).hexdigest()
        nonce = re.search(r'nonce="([^"]*)"', proof)
        assert nonce
        middle = f"{nonce[1]}:{fields['nc']}:{fields['cnonce']}:auth"
        good = fields["response"] == hashlib.md5(f"{ha1}:{middle}:{ha2}".encode()).hexdigest()
        return grant(request) if good else Says(403, "Forbidden")

    with registered(policy, credentials=Credentials(key=K, opc=OPC, sequence=100)) as (_, device):
        assert device.receiver.is_registered


@pytest.mark.req("SEC-3")
def test_a_network_without_the_sims_key_is_not_answered() -> None:
    error = refused(
        lambda _: Says(401, "Unauthorized", aka_challenge(7, bytes(16))),
        credentials=Credentials(key=K, opc=OPC),
    )
    assert "does not know this SIM's key" in str(error)


def test_a_lost_registration_is_told_and_tried_again() -> None:
    turn = count()

    def policy(request: SipText) -> Says | None:
        if next(turn) == 0:
            return Says(200, "OK", {"Contact": request.header("Contact").replace("expires=600", "expires=1")})
        return Says(503, "Service Unavailable")

    with registered(policy) as (_, device):
        assert "503" in str(device.wait_for("registration_lost")["reason"])
        assert not device.receiver.is_registered


@pytest.mark.req("PRA-REG-7")
def test_a_device_whose_refresh_failed_still_leaves_with_expires_0() -> None:
    """The registrar has its binding until its end, and would go on sending pushes there."""
    turn = count()

    def policy(request: SipText) -> Says | None:
        if next(turn) == 0:
            return Says(200, "OK", {"Contact": request.header("Contact").replace("expires=600", "expires=3")})
        return Says(503, "Service Unavailable")

    with registered(policy) as (peer, device):
        device.wait_for("registration_lost")
    assert [one.header("Expires") for one in requests(peer, "REGISTER")] == ["600", "600", "0"]


def test_settings_that_cannot_work_stop_the_start() -> None:
    with pytest.raises(MalformedSip, match="proxy"):
        Receiver(ALICE, "tel:+123", {})
    with pytest.raises(MalformedSip, match="proxy"):
        Receiver(ALICE, "sip:127.0.0.1;transport=sctp", {})
    with pytest.raises(MalformedSip, match="uri"):
        Receiver("alice", "sip:127.0.0.1", {})
    with pytest.raises(BadConfiguration, match="16 bytes"):
        Receiver(ALICE, "sip:127.0.0.1", {}, credentials=Credentials(key=b"short", op=bytes(16)))


@pytest.mark.parametrize(
    ("applications", "settings", "says"),
    [
        ({"mms ua": print}, {}, "application: a name such as mms.ua"),
        ({'mms.ua";x="': print}, {}, "application"),
        ({"": print}, {}, "application"),
        ({}, {"expires_s": 0}, "expires_s: at least one second"),
        ({}, {"accept": ("image",)}, "accept: a type such as image/png"),
    ],
)
def test_what_could_not_stand_in_a_register_stops_the_start(
    applications: dict[str, Callable[..., None]], settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadConfiguration, match=says):
        Receiver(ALICE, "sip:127.0.0.1", applications, **settings)


def test_an_address_that_nobody_can_reach_is_not_announced() -> None:
    with pytest.raises(BadConfiguration, match=r"listen: .*0\.0\.0\.0"), registered(listen=Listen("0.0.0.0")):
        pass


def test_a_registrar_that_writes_our_contact_otherwise_is_understood() -> None:
    def policy(request: SipText) -> Says:
        contact = re.sub("<sip:alice@([0-9.:]+)>", r"<sip:alice@\1;ob>", request.header("Contact"))
        return Says(200, "OK", {"Contact": contact})

    with registered(policy) as (_, device):
        assert device.receiver.is_registered


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransportFailed, match=str(port)), registered(listen=Listen("127.0.0.1", port)):
            pass


def test_options_says_what_the_device_takes() -> None:
    with registered(uri=ALICE) as (peer, device):
        answer = peer.ask(request(peer, "OPTIONS"), device.receiver.address)
        assert answer.status == 200
        assert "MESSAGE" in answer.header("Allow")
        assert answer.header("Accept-Encoding") == "gzip, deflate, identity"
    wait_until(lambda: not device.receiver.is_registered, 5, "the end of the registration")
