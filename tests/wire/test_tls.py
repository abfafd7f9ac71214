"""SIP over mutual TLS: peers are trusted by the names in their certificates, and so are we."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from demo import secured as secured_demo
from omapush import config
from omapush.cli import launch
from omapush.config import Tls
from omapush.receiver import Listen
from omapush.store import watches
from tests.harness import tls_peer
from tests.harness.authority import Issued, TestCa
from tests.harness.ports import free_ports
from tests.harness.receiver_thread import receiver_in_thread
from tests.harness.scscf import Scscf
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.tls_peer import TlsPeer, client_context
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.wire.requests import register, request

pytestmark = pytest.mark.req("SEC-6", "SEC-7", "SEC-9", "SEC-12")

SCSCF = "scscf.home1.example"
PARTS = ("redis", "sip")


class Secured(NamedTuple):
    """A server that speaks TLS, and a core that it reaches by TLS."""

    stack: Stack
    tls: tuple[str, int]
    ca: TestCa
    core: TlsPeer
    scscf: Issued


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    ca = TestCa(tmp_path_factory.mktemp("ca"))
    psa, scscf = ca.issue("psa.home1.example"), ca.issue(SCSCF)
    udp_port, tls_port = free_ports(2)
    with TlsPeer(scscf, ca.certificate) as core:
        settings = speaking_tls(psa, ca.certificate, udp_port, tls_port, core.address[1])
        settings = with_list(settings, ca.revoke())
        stack = Stack(tmp_path_factory.mktemp("secured"), settings, PARTS)
        stack.sip = ("127.0.0.1", udp_port)
        with stack:
            yield Secured(stack, ("127.0.0.1", tls_port), ca, core, scscf)


def speaking_tls(ours: Issued, trusted: Path, udp_port: int, tls_port: int, core_port: int) -> Settings:
    """No address is trusted but one that nobody has."""
    listens = [f"udp:127.0.0.1:{udp_port}", f"tcp:127.0.0.1:{udp_port}", f"tls:127.0.0.1:{tls_port}"]
    return {
        "sip": {"listen": listens},
        "core": {
            "next_hop": f"sip:127.0.0.1:{core_port};transport=tls;lr",
            "trusted_peers": ["127.0.0.9/32"],
            "trusted_names": [SCSCF, "*.edge.home1.example"],
        },
        "tls": {
            "certificate": str(ours.certificate),
            "private_key": str(ours.private_key),
            "trusted_certificates": str(trusted),
        },
    }


def with_list(settings: Settings, revoked: Path) -> Settings:
    """The same, and who is on the list is refused."""
    return {**settings, "tls": {**settings["tls"], "crl": str(revoked)}}


def by_tls(raw: bytes) -> bytes:
    return raw.replace(b"SIP/2.0/UDP", b"SIP/2.0/TLS")


def message(name: str = "psa") -> bytes:
    return by_tls(request("MESSAGE", f"sip:{name}@home1.example", ("127.0.0.1", 5061)))


@pytest.mark.req("SEC-4", "SEC-5")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        (SCSCF, 405),
        ("a.edge.home1.example", 405),
        ("edge.home1.example", 403),
        ("scscf.home1.example.evil.example", 403),
        ("evilscscf.home1.example", 403),
    ],
)
def test_a_peer_is_trusted_by_the_name_in_its_certificate(secured: Secured, host: str, status: int) -> None:
    """405: it may speak to us, though not by MESSAGE; 403: it is a stranger, whose OPTIONS is answered."""
    context = client_context(secured.ca.certificate, secured.ca.issue(host))

    assert tls_peer.ask(message(), secured.tls, context).status == status
    options = by_tls(request("OPTIONS", "sip:psa@home1.example", ("127.0.0.1", 5061)))
    assert tls_peer.ask(options, secured.tls, context).status == 200


@pytest.mark.req("SEC-4")
def test_the_address_alone_is_not_trusted_without_tls(secured: Secured) -> None:
    with SipPeer() as peer:
        raw = request("MESSAGE", "sip:psa@home1.example", peer.address)
        assert peer.ask(raw, secured.stack.sip).status == 403


def test_who_has_no_certificate_of_the_ca_gets_no_answer_at_all(secured: Secured, tmp_path: Path) -> None:
    other = TestCa(tmp_path / "other", "another CA")
    for issued in (None, other.issue(SCSCF), secured.ca.issue("late.edge.home1.example", expired=True)):
        with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof"):
            tls_peer.ask(message(), secured.tls, client_context(secured.ca.certificate, issued))


def test_a_peer_whose_certificate_is_revoked_gets_no_answer_after_a_reload(secured: Secured) -> None:
    """And those that are not on the list do, as before."""
    stolen, kept = (secured.ca.issue(f"{name}.edge.home1.example") for name in ("stolen", "kept"))
    context = client_context(secured.ca.certificate, stolen)
    assert tls_peer.ask(message(), secured.tls, context).status == 405

    ours = shown_by(secured)

    secured.ca.revoke(stolen.certificate)
    secured.ca.issue("psa.home1.example")
    reloaded = omapush(secured.stack, "reload")

    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof"):
        tls_peer.ask(message(), secured.tls, client_context(secured.ca.certificate, stolen))
    assert tls_peer.ask(message(), secured.tls, client_context(secured.ca.certificate, kept)).status == 405
    assert shown_by(secured) != ours  # our own new certificate is used, too


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_a_peer_that_was_revoked_since_is_not_gone_on_with(
    secured: Secured, version: ssl.TLSVersion
) -> None:
    """Whoever resumes shows no certificate: sessions from before the reload must count no more."""
    lost = secured.ca.issue(f"lost{version.value}.edge.home1.example")
    context = client_context(secured.ca.certificate, lost)
    context.minimum_version = context.maximum_version = version
    sessions = [session_of(secured, context) for _ in range(6)]
    # Each process of Kamailio knows its own sessions only.
    assert any(is_resumed(secured, context, session) for session in sessions * 4)

    secured.ca.revoke(lost.certificate)
    assert omapush(secured.stack, "reload").returncode == 0

    for session in sessions * 4:
        with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof"):
            is_resumed(secured, context, session)


def session_of(secured: Secured, context: ssl.SSLContext) -> ssl.SSLSession:
    """What a connection leaves to be resumed by another, once the server has answered."""
    with socket.create_connection(secured.tls, 5) as plain, context.wrap_socket(plain) as connection:
        connection.sendall(message())
        assert connection.recv(65_536)
        assert connection.session is not None
        return connection.session


def is_resumed(secured: Secured, context: ssl.SSLContext, session: ssl.SSLSession) -> bool:
    """Tell whether a connection that is answered goes on with a session of before."""
    plain = socket.create_connection(secured.tls, 5)
    with plain, context.wrap_socket(plain, session=session) as connection:
        connection.sendall(message())
        if not connection.recv(65_536):
            raise ConnectionResetError("closed")
        return bool(connection.session_reused)


def shown_by(secured: Secured) -> str:
    """Serial number of the certificate that the server shows."""
    context = client_context(secured.ca.certificate, secured.scscf)
    with socket.create_connection(secured.tls, 5) as plain, context.wrap_socket(plain) as connection:
        certificate = connection.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_our_own_certificate_is_that_of_the_configuration_and_old_tls_is_refused(secured: Secured) -> None:
    context = client_context(secured.ca.certificate, secured.scscf)
    assert tls_peer.ask(message(), secured.tls, context).status == 405
    old = client_context(secured.ca.certificate, secured.scscf)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)alert|version|reset|closed|eof"):
        tls_peer.ask(message(), secured.tls, old)


@pytest.mark.req("SEC-8", "SEC-11", "PSA-MSG-6")
def test_a_push_goes_to_the_core_by_tls_with_our_certificate(secured: Secured) -> None:
    ref = secured.stack.submit("sip:secret@home1.example", b"sealed")
    name, sent = secured.core.wait_for("MESSAGE")

    assert name == "psa.home1.example"
    assert (sent.start_line, sent.body) == ("MESSAGE sip:secret@home1.example SIP/2.0", b"sealed")
    assert sent.header("Via").startswith("SIP/2.0/TLS ")
    assert sent.header("P-Asserted-Identity") == "<sip:mmsc@home1.example>"
    assert sent.header("P-Charging-Vector")
    assert secured.stack.result(ref).state == "delivered"


@pytest.mark.req("PSA-REG-1")
def test_a_register_by_tls_is_captured_and_its_contact_by_tls_used(secured: Secured) -> None:
    aor = "sip:by-tls@home1.example"
    with SipPeer() as plain:
        raw = by_tls(register(aor, plain))
    route = f"<sip:127.0.0.1:{secured.core.address[1]};transport=tls>"
    raw = raw.replace(f"Contact: <sip:127.0.0.1:{plain.port}>".encode(), f"Contact: {route}".encode())
    context = client_context(secured.ca.certificate, secured.scscf)

    assert tls_peer.ask(raw, secured.tls, context).status == 200
    record = secured.stack.registration(aor)
    assert record is not None
    assert "transport=tls" in record.s_cscf


def test_a_core_with_a_certificate_of_another_ca_gets_no_push(tmp_path: Path) -> None:
    ours, theirs = TestCa(tmp_path / "ours"), TestCa(tmp_path / "theirs", "another CA")
    udp_port, tls_port = free_ports(2)
    with TlsPeer(theirs.issue(SCSCF), ours.certificate) as core:
        settings = {
            **speaking_tls(ours.issue("psa"), ours.certificate, udp_port, tls_port, core.address[1]),
            "delivery": {"transaction_s": 9},
            'application."mms.ua"': {"retry": {"attempts": 1, "first_s": 0.1, "longest_s": 0.1}},
        }
        stack = Stack(tmp_path / "stack", settings, PARTS)
        stack.sip = ("127.0.0.1", udp_port)
        with stack:
            result = stack.result(stack.submit("sip:nobody@home1.example"), 30)

        assert (result.state, core.received) == ("timeout", [])
        assert core.refused


@pytest.mark.req("PSA-REG-2", "PSA-MSG-6")
def test_all_between_a_real_s_cscf_and_us_goes_by_tls(tmp_path: Path) -> None:
    """As `make run TLS=1` has it: REGISTER, reg event and push of a device that a Kamailio S-CSCF serves."""
    ca = TestCa(tmp_path / "ca")
    udp_port, tls_port, core_port = free_ports(3)
    profile = tmp_path / "scscf-tls.cfg"
    theirs = ca.issue(SCSCF)
    profile.write_text(launch.profile_of(named(theirs, ca)))
    settings = {
        **speaking_tls(ca.issue("psa.home1.example"), ca.certificate, udp_port, tls_port, core_port),
        "registration": {"watch": True},
    }
    stack = Stack(tmp_path / "stack", settings, PARTS)
    stack.sip = ("127.0.0.1", udp_port)
    as_uri = f"sip:127.0.0.1:{tls_port};transport=tls"
    with stack, Scscf(tmp_path, as_uri=as_uri, tls=(profile, core_port)) as core:
        alice = "sip:alice@home1.example"
        with receiver_in_thread(alice, core.uri) as device:
            wait_until(lambda: watch_state(stack, alice) == "active", 10, "the reg event by TLS")
            assert stack.result(stack.submit(alice, b"sealed")).state == "delivered"
            assert [push.content for push in device.wait_for_pushes(1)] == [b"sealed"]
        bob, proxy = "sip:bob@home1.example", f"sip:127.0.0.1:{core_port};transport=tls"
        listen = Listen(tls=client_context(ca.certificate, ca.issue("bob.device.example")))
        with receiver_in_thread(bob, proxy, listen=listen) as device:  # reached over its own connection
            wait_until(lambda: watch_state(stack, bob) == "active", 10, "the reg event of a device by TLS")
            assert stack.result(stack.submit(bob, b"sealed, too")).state == "delivered"
            assert [push.content for push in device.wait_for_pushes(1)] == [b"sealed, too"]
        record = stack.registration(alice)
        assert record is not None
        assert record.s_cscf == f"sip:127.0.0.1:{core_port};transport=tls"


def named(issued: Issued, ca: TestCa) -> Tls:
    return Tls(
        certificate=str(issued.certificate),
        private_key=str(issued.private_key),
        trusted_certificates=str(ca.certificate),
    )


def watch_state(stack: Stack, aor: str) -> str:
    watch = watches.read(stack.store, aor)
    return watch.state if watch else ""


def test_the_configuration_of_make_run_tls_is_one_that_starts(tmp_path: Path) -> None:
    base = tmp_path / "omapush.toml"
    base.write_text('[sip]\nuri = "sip:mine@home1.example"\n[core]\nioi = "mine.example"\n')
    values = config.load(str(secured_demo.prepare(tmp_path / "tls", base)))

    assert (values.sip.uri, values.core.ioi) == ("sip:mine@home1.example", "mine.example")
    assert values.core.trusted_peers == ()
    assert any(listen.startswith("tls:") for listen in values.sip.listen)
    assert Path(values.tls.private_key).stat().st_mode & 0o077 == 0
