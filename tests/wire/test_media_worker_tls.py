"""msrps: the media worker with a certificate, and devices whose certificates are right or wrong."""

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.push.session import CONFIRMED, LOST
from omapush.store import msrp_workers
from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.certificates import certificate
from tests.harness.media import Media
from tests.harness.stack import Stack
from tests.harness.wait import wait_until

CONTENT = bytes(range(256)) * 2_000


class Ends:
    """Contexts of a device as a server: one that the worker trusts, and a stranger that signs itself."""

    def __init__(self, folder: Path) -> None:
        for name in ("ours", "known", "stranger"):
            (folder / name).mkdir(parents=True)
        _, self.trusts_us = certificate(folder / "ours")
        self.known, _ = certificate(folder / "known")
        self.stranger, _ = certificate(folder / "stranger")
        self.settings = {
            "connect_s": 2.0,
            "tls": True,
            "certificate": str(folder / "ours" / "server.pem"),
            "private_key": str(folder / "ours" / "server.pem"),
            "trusted_certificates": str(folder / "known" / "server.pem"),
        }
        pem = (folder / "stranger" / "server.pem").read_text()
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE-----") :])
        self.strangers_digest = hashlib.sha256(der).hexdigest()
        self.ours = folder / "ours" / "server.pem"
        self._folder = folder

    def device(self, name: str = "") -> ssl.SSLContext:
        """Of a device that connects: it trusts us, and shows a certificate of that name, or none."""
        context = ssl.create_default_context(cafile=str(self.ours))
        if name:
            context.load_cert_chain(self._folder / name / "server.pem")
        return context


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    return Ends(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, ends: Ends) -> Iterator[Media]:
    with Stack(tmp_path_factory.mktemp("tls"), {"msrp": ends.settings}, ("redis", "msrp")) as running:
        yield Media(running)


def test_sessions_are_offered_as_msrps(media: Media) -> None:
    assert media.worker()[1].startswith("msrps://127.0.0.1:")


def test_the_worker_tells_the_fingerprint_of_its_certificate(media: Media, ends: Ends) -> None:
    """RFC 4975 14.4: offers name it."""
    [worker] = msrp_workers.live(media.store)
    pem = ends.ours.read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE-----") :])

    assert worker.fingerprint == hashlib.sha256(der).hexdigest()


def test_a_device_with_a_certificate_that_we_trust_gets_its_content(media: Media, ends: Ends) -> None:
    with MsrpPeer(tls=ends.known) as peer:
        [one] = media.agree((peer.session(), CONTENT))

        assert one.ending().code == CONFIRMED
        assert one.far.wait_for_message().content == CONTENT


def test_a_device_that_signs_itself_is_known_by_the_fingerprint_of_its_answer(
    media: Media, ends: Ends
) -> None:
    with MsrpPeer(tls=ends.stranger) as peer:
        fingerprints = (("SHA-256", ends.strangers_digest.upper()),)
        [one] = media.agree((peer.session(), CONTENT), peer_fingerprints=fingerprints)

        assert one.ending().code == CONFIRMED


def test_another_certificate_than_the_answer_named_gets_nothing(media: Media, ends: Ends) -> None:
    with MsrpPeer(tls=ends.known) as peer:
        fingerprints = (("sha-256", ends.strangers_digest),)
        [one] = media.agree((peer.session(), CONTENT), peer_fingerprints=fingerprints)

        assert one.ending().code == LOST
        assert one.ending().why.endswith("the certificate is not the one that the answer named")
        assert not one.far.requests


def test_a_device_that_signs_itself_gets_nothing_without_a_fingerprint(media: Media, ends: Ends) -> None:
    with MsrpPeer(tls=ends.stranger) as peer:
        [one] = media.agree((peer.session(), CONTENT))

        assert one.ending().code == LOST
        assert not one.far.requests


def test_a_device_that_connects_gets_its_content(media: Media, ends: Ends) -> None:
    with MsrpPeer() as peer:
        [one] = media.agree((peer.session(), CONTENT), connects=False)
        one.far.connect(tls=ends.trusts_us)

        assert one.ending().code == CONFIRMED
        assert one.far.wait_for_message().content == CONTENT


def test_a_device_that_connects_with_the_certificate_of_its_answer_gets_its_content(
    media: Media, ends: Ends
) -> None:
    """It signs itself; nobody but the answer vouches for it."""
    with MsrpPeer() as peer:
        named = (("sha-256", ends.strangers_digest),)
        [one] = media.agree((peer.session(), CONTENT), connects=False, peer_fingerprints=named)
        one.far.connect(tls=ends.device("stranger"))

        assert one.ending().code == CONFIRMED
        assert one.far.wait_for_message().content == CONTENT


@pytest.mark.parametrize("name", ["", "known"])
def test_who_connects_with_another_certificate_than_the_answer_named_gets_nothing(
    media: Media, ends: Ends, name: str
) -> None:
    """Who has seen the session's URI has not the device's key; the device itself may still come."""
    with MsrpPeer() as peer:
        named = (("sha-256", ends.strangers_digest),)
        [one] = media.agree((peer.session(), CONTENT), connects=False, peer_fingerprints=named)
        taken = one.far.connect(tls=ends.device(name), bind=False)
        answer = one.far.wait_for_answer(one.far.send_frame({"Message-ID": "somebody"}))
        assert answer.status == 403
        wait_until(lambda: not taken.is_open, 5, "the end of the connection")
        one.far.connect(tls=ends.device("stranger"))

        assert one.ending().code == CONFIRMED


def test_the_ending_tells_that_only_another_certificate_came(media: Media, ends: Ends) -> None:
    with MsrpPeer() as peer:
        named = (("sha-256", ends.strangers_digest),)
        [one] = media.agree((peer.session(), CONTENT), connects=False, peer_fingerprints=named)
        one.far.connect(tls=ends.device("known"))

        assert one.ending().code == LOST
        assert one.ending().why == "a device connected without the certificate that the answer named"
        assert not one.far.requests
