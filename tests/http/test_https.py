"""TLS in the api itself: who gets through the handshake, and who is known by certificate or token."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.harness.authority import Issued, TestCa
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.token_issuer import AUDIENCE, ISSUER, TokenIssuer
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.http.test_json import body

MMSC = "mmsc.provider.example"


class Front(NamedTuple):
    """An installation that speaks TLS, and what its peers need."""

    stack: Stack
    ca: TestCa
    server: Issued
    issuer: TokenIssuer

    def client(self, shown: Issued | None = None, newest: ssl.TLSVersion | None = None) -> httpx.Client:
        """A client that knows the server's CA and shows a certificate when it has one."""
        context = ssl.create_default_context(cafile=str(self.ca.certificate))
        context.check_hostname = False
        if newest is not None:
            context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
            context.set_ciphers("ALL:@SECLEVEL=0")
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.private_key)
        return httpx.Client(base_url=self.stack.http, verify=context, trust_env=False, timeout=10)

    def submit(self, push_id: str, shown: Issued | None = None, **headers: str) -> httpx.Response:
        with self.client(shown) as client:
            return client.post("/v1/pushes", json=body(push_id), headers=headers)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("https")
    ca, issuer = TestCa(folder / "ca"), TokenIssuer(folder / "keys.json")
    server = ca.issue("push.home1.example")
    settings: Settings = {
        "api": {
            "certificate": str(server.certificate),
            "private_key": str(server.private_key),
            "trusted_certificates": str(ca.certificate),
            "crl": str(ca.revoke()),
        },
        "tokens": {"keys": str(issuer.file), "issuer": ISSUER, "audience": AUDIENCE},
        "initiator.mmsc": {"certificate_names": [MMSC]},
        "initiator.app": {"subject": "client-7", "applications": ["mms.ua"]},
    }
    with Stack(folder / "stack", settings, ("redis", "sip", "api")) as running:
        yield Front(running, ca, server, issuer)


def test_passwords_come_in_by_tls_and_nothing_comes_in_without(front: Front) -> None:
    with front.client() as client:
        answer = client.post("/v1/pushes", json=body("1@tls"), auth=("trusted", PASSWORD))
    assert answer.status_code == 201
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    with pytest.raises(httpx.HTTPError):
        httpx.get(front.stack.http.replace("https:", "http:") + "/healthz", trust_env=False)


def test_a_certificate_lets_its_initiator_in_without_a_password(front: Front) -> None:
    answer = front.submit("1@cert", front.ca.issue(MMSC))

    assert answer.status_code == 201
    assert front.submit("2@cert").status_code == 401


def test_a_certificate_that_names_nobody_lets_nobody_in(front: Front) -> None:
    for name in ("other.provider.example", f"x.{MMSC}", "provider.example"):
        answer = front.submit("3@cert", front.ca.issue(name))
        assert answer.status_code == 401
        assert "certificate" in answer.json()["detail"]


def test_a_wrong_password_is_not_made_right_by_a_certificate(front: Front) -> None:
    with front.client(front.ca.issue(MMSC)) as client:
        assert client.post("/v1/pushes", json=body("4@cert"), auth=("mmsc", "")).status_code == 401


def test_certificates_of_others_and_old_ones_end_in_the_handshake(front: Front, tmp_path: Path) -> None:
    foreign = TestCa(tmp_path, "somebody else")
    for shown in (foreign.issue(MMSC), front.ca.issue(MMSC, expired=True)):
        with pytest.raises(httpx.HTTPError):
            front.submit("5@cert", shown)


def test_a_certificate_that_is_revoked_ends_in_the_handshake_once_the_list_has_it(front: Front) -> None:
    stolen, kept = front.ca.issue(MMSC), front.ca.issue("other.provider.example")
    assert front.submit("1@revoked", stolen).status_code == 201

    front.ca.revoke(stolen.certificate)

    wait_until(lambda: not gets_through(front, stolen), 15, "the revoked certificate is refused")
    assert gets_through(front, kept)
    assert gets_through(front, front.ca.issue(MMSC))
    assert "event=certificate_read" in front.stack.parts["api"].log_text()


def gets_through(front: Front, shown: Issued) -> bool:
    try:
        return front.submit("2@revoked", shown).status_code in (200, 201, 401)
    except httpx.HTTPError:
        return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client's old version, which is meant
def test_tls_before_1_2_is_refused(front: Front) -> None:
    for newest, gets_in in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        with front.client(newest=newest) as client:
            if gets_in:
                assert client.get("/healthz").status_code == 200
            else:
                with pytest.raises(httpx.HTTPError):
                    client.get("/healthz")


def test_a_token_lets_the_initiator_in_that_it_names(front: Front) -> None:
    token = front.issuer.token("client-7")

    assert front.submit("1@token", Authorization=f"Bearer {token}").status_code == 201
    refused = front.submit("2@token", Authorization=f"Bearer {front.issuer.token('mmsc')}")
    assert refused.status_code == 401
    assert "names no initiator" in refused.json()["detail"]


def test_a_token_that_is_not_taken_says_why(front: Front) -> None:
    old = front.issuer.token("client-7", for_s=-60)
    for token, reason in ((old, "expired"), (old[:-4] + "AAAA", "ignature"), ("x", "segments")):
        answer = front.submit("3@token", Authorization=f"Bearer {token}")
        challenge = answer.headers["WWW-Authenticate"]
        assert answer.status_code == 401
        assert challenge.startswith('Bearer realm="omapush", error="invalid_token"')
        assert reason in challenge
        assert reason in answer.json()["detail"]
    asked = front.submit("4@token")
    assert asked.headers["WWW-Authenticate"] == 'Basic realm="omapush", Bearer realm="omapush"'
    assert old not in front.stack.parts["api"].log_text()


def test_the_command_reaches_the_api_with_a_token(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("hello")
    monkeypatch.setenv("OMAPUSH_TOKEN", front.issuer.token("client-7"))
    what = ("--to", "sip:alice@home1.example", "--app", "mms.ua", "--type", "text/plain")
    sent = omapush(front.stack, "push", "send", *what, "--file", tmp_path / "x", "--initiator", "app")
    assert (sent.returncode, sent.stderr) == (0, "")


def test_a_new_certificate_is_used_without_a_restart(front: Front) -> None:
    def serial() -> str:
        address = ("127.0.0.1", int(front.stack.http.rpartition(":")[2]))
        context = ssl.create_default_context(cafile=str(front.ca.certificate))
        context.check_hostname = False
        with socket.create_connection(address, 5) as plain, context.wrap_socket(plain) as secured:
            certificate = secured.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"])

    before = serial()
    renewed = front.ca.issue("renewed.example")
    os.replace(renewed.private_key, front.server.private_key)
    os.replace(renewed.certificate, front.server.certificate)
    wait_until(lambda: serial() != before, 15, "the new certificate")
