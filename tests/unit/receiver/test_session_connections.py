"""Who connects for MSRP, over TLS or not; and a device that is told to misbehave."""

import ssl
from pathlib import Path

import pytest

from omapush.certificates import fingerprint_of
from omapush.errors import BadConfiguration
from omapush.receiver import Play, Sessions
from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.certificates import certificate
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, PSA, registered, wait_for
from tests.unit.receiver.session_bench import CONTENT, KEEP_ALIVE, Bench, answers, begun, bench, send

# ---- who connects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "wish"), [("passive", False), ("actpass", True)])
def test_the_device_connects_where_it_has_to_or_may(setup: str, wish: bool) -> None:
    with bench(sessions=Sessions(connect=wish)) as on:
        sender, file = on.sender(), on.file(setup=setup)
        sender.invite(file)
        assert sender.lines[0].value("setup") == "active"
        assert sender.lines[0].port == 9
        file.session.wait_for_connection()
        send(file)
        assert on.device.wait_for_pushes(1)[0].read() == CONTENT
        sender.bye()
        wait_until(lambda: not on.msrp.connections[0].is_open, 5, "the end of the connection")


@pytest.mark.parametrize("setup", ["active", "", "holdconn"])
def test_the_device_listens_where_the_sender_connects(setup: str) -> None:
    with bench(sessions=Sessions(connect=True)) as on:
        sender, file = on.sender(), on.file(setup=setup)
        sender.invite(file)
        assert sender.lines[0].value("setup") == "passive"
        send(file)


def test_a_sender_that_cannot_be_reached_is_told_of() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file(setup="passive")
        file.session.uri = file.session.uri.replace(f":{on.msrp.port}/", ":1/")
        sender.invite(file)
        assert "MSRP to 127.0.0.1:1" in str(on.device.wait_for("file_interrupted")["reason"])
        assert sender.bye().status == 200


@pytest.mark.req("PRA-MSRP-4")
@pytest.mark.parametrize("setup", ["actpass", "passive"])
def test_content_comes_over_tls(setup: str, tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    settings = Sessions(tls=client, tls_server=server)
    with MsrpPeer(tls=server) as msrp, registered(sessions=settings) as (sip, device):
        on = Bench(sip, device, msrp)
        sender, file = on.sender(), on.file(setup=setup)
        assert sender.invite(file).status == 200
        assert (sender.lines[0].value("path") or "").startswith("msrps://")
        if setup == "actpass":
            file.session.connect(tls=client)
        else:
            file.session.wait_for_connection()
        send(file)
        assert device.wait_for_pushes(1)[0].read() == CONTENT


class Named:
    """Two ends that sign themselves, neither of which has a root for the other."""

    def __init__(self, folder: Path) -> None:
        for name in ("sender", "device", "stranger"):
            (folder / name).mkdir()
            certificate(folder / name)
        self._folder = folder
        self.settings = Sessions(certificate=self.file("device"))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.file("sender"))

    def file(self, name: str) -> Path:
        return self._folder / name / "server.pem"

    def attribute(self, name: str) -> str:
        digest = bytes.fromhex(fingerprint_of(self.file(name), "test"))
        return f"fingerprint:sha-256 {digest.hex(':').upper()}"

    def client(self, name: str) -> ssl.SSLContext:
        """Of a sender that connects, with a certificate of that name or none."""
        context = ssl.create_default_context(cafile=str(self.file("device")))
        if name:
            context.load_cert_chain(self.file(name))
        return context


@pytest.mark.req("PRA-MSRP-4")
@pytest.mark.parametrize("setup", ["actpass", "passive"])
def test_two_ends_that_sign_themselves_know_each_other_by_their_fingerprints(
    setup: str, tmp_path: Path
) -> None:
    """RFC 4975 14.4, whoever connects."""
    named = Named(tmp_path)
    with MsrpPeer(tls=named.server) as msrp, registered(sessions=named.settings) as (sip, device):
        on = Bench(sip, device, msrp)
        sender = on.sender()
        file = on.file(setup=setup, attributes=(f"a={named.attribute('sender')}",))
        assert sender.invite(file).status == 200
        assert named.attribute("device") in sender.lines[0].attributes
        if setup == "actpass":
            file.session.connect(tls=named.client("sender"))
        else:
            file.session.wait_for_connection()
        send(file)
        assert device.wait_for_pushes(1)[0].read() == CONTENT


@pytest.mark.parametrize("shown", ["", "stranger"])
def test_a_sender_without_the_certificate_of_its_offer_is_refused_and_the_right_one_is_taken(
    shown: str, tmp_path: Path
) -> None:
    named = Named(tmp_path)
    with MsrpPeer(tls=named.server) as msrp, registered(sessions=named.settings) as (sip, device):
        on = Bench(sip, device, msrp)
        sender = on.sender()
        file = on.file(attributes=(f"a={named.attribute('sender')}",))
        assert sender.invite(file).status == 200
        wrong = file.session.connect(tls=named.client(shown), bind=False)
        refused = file.session.wait_for_answer(file.session.send_frame({"Message-ID": "somebody"}))
        assert refused.status == 403
        wait_until(lambda: not wrong.is_open, 5, "the end of the connection")

        file.session.connect(tls=named.client("sender"))
        send(file)
        assert device.wait_for_pushes(1)[0].read() == CONTENT


def test_a_sender_with_another_certificate_than_its_offer_named_is_not_connected_to(tmp_path: Path) -> None:
    named = Named(tmp_path)
    with MsrpPeer(tls=named.server) as msrp, registered(sessions=named.settings) as (sip, device):
        on = Bench(sip, device, msrp)
        sender = on.sender()
        sender.invite(on.file(setup="passive", attributes=(f"a={named.attribute('stranger')}",)))

        told = device.wait_for("file_interrupted")

        assert "the certificate is not the one that the offer named" in str(told["reason"])
        assert sender.bye().status == 200


def test_a_certificate_that_cannot_be_used_is_told_before_the_device_starts(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with (
        pytest.raises(BadConfiguration, match=r"sessions\.certificate"),
        registered(sessions=Sessions(certificate=tmp_path / "no.pem")),
    ):
        pass


def test_a_device_without_a_certificate_connects_itself(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    with MsrpPeer(tls=server) as msrp, registered(sessions=Sessions(tls=client)) as (sip, device):
        on = Bench(sip, device, msrp)
        sender, file = on.sender(), on.file()
        assert sender.invite(file).status == 200
        assert sender.lines[0].value("setup") == "active"
        file.session.wait_for_connection()
        send(file)
        assert device.wait_for_pushes(1)[0].read() == CONTENT


def test_a_sender_that_insists_on_connecting_by_tls_needs_a_certificate_of_the_device(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)
    with MsrpPeer(tls=server) as msrp, registered() as (sip, device):
        on = Bench(sip, device, msrp)
        refused = on.sender().invite(on.file(setup="active"))
    assert refused.status == 488
    assert "certificate" in refused.header("Warning")


# ---- a device that is told to misbehave --------------------------------------------------------------------


def test_a_device_stops_in_the_middle_by_closing_its_connection() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="close"))) as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        connection = file.session.wait_for_connection()
        wait_until(lambda: not connection.is_open, 5, "the end of the connection")
        assert on.device.pushes == []


def test_a_device_refuses_in_the_middle() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="refuse"))) as on:
        _, file = begun(on)
        (transaction,) = file.session.send(CONTENT, "image/png", stop=60_000, last="#")
        assert file.session.wait_for_answer(transaction).status == 413


def test_a_device_hangs_up_in_the_middle() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="bye"))) as on:
        sender, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        assert wait_for(on.sip, "BYE").header("Call-ID") == sender.call_id


def test_a_device_reads_no_further() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="silence"), idle_s=60)) as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        on.device.wait_for("stopped_in_the_middle")
        late = file.session.send_frame(KEEP_ALIVE)
        with pytest.raises(TimeoutError):
            file.session.wait_for_answer(late, 0.5)


def test_a_device_answers_and_reports_as_it_was_told() -> None:
    with bench(sessions=Sessions(play=Play(answer=408, report=False))) as on:
        _, file = begun(on, selectors="")
        assert answers(file, file.session.send(b"x", "text/plain")) == [408]
        has_no_report = file.session.send_frame(KEEP_ALIVE)
        assert file.session.wait_for_answer(has_no_report).status == 408
        assert file.session.reports == []


def test_a_device_reads_as_slowly_as_it_was_told() -> None:
    with bench(sessions=Sessions(play=Play(octets_per_s=1_000_000))) as on:
        _, file = begun(on)
        send(file)
        assert on.device.wait_for_pushes(1)[0].read() == CONTENT


def test_the_identity_in_the_record_is_that_of_the_invite() -> None:
    with bench() as on:
        _, file = begun(on, b"x")
        send(file)
        (push,) = on.device.wait_for_pushes(1)
        assert push.sender == PSA
        assert push.header("To") == f"<{ALICE}>"
