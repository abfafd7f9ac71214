"""What doctor finds around us: one test makes each mistake and sees it found."""

import socket
from collections.abc import Iterator

import pytest

from omapush import config, resolving
from omapush.cli import core_checks
from omapush.cli.checks import Finding
from omapush.config import Config, Core
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri
from omapush.push.nodes import DRAINED, SERVING, Sign
from tests.harness.ports import free_port
from tests.harness.sip_peer import SipPeer

SIGN = Sign(1, "sip:1:a", "host/127.0.0.1:5070", "sip", 1, 0, 0, SERVING, "", "info", 0, {"core": "a"})


def assert_found(finding: Finding, words: str) -> None:
    """Wrong, with the words in its cause, and with effect and action."""
    assert (finding.state, words in finding.cause) == ("wrong", True), finding
    assert finding.effect
    assert finding.action


@pytest.fixture
def core() -> Iterator[SipPeer]:
    with SipPeer() as peer:
        yield peer


def found(**of_core: object) -> dict[str, Finding]:
    """What is found of the next hop, by check."""
    return {one.check: one for one in core_checks.next_hop(config.parse({"core": of_core}, "omapush.toml"))}


def test_a_next_hop_that_answers_and_is_trusted_is_ok(core: SipPeer) -> None:
    findings = found(next_hop=f"sip:127.0.0.1:{core.port};lr")
    assert {one.state for one in findings.values()} == {"ok"}
    assert "200" in findings["next hop"].cause


def test_a_silent_next_hop_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        findings = found(next_hop=f"sip:127.0.0.1:{silent.getsockname()[1]};lr")
    assert_found(findings["next hop"], "no answer")


def test_a_next_hop_that_is_not_there_is_found() -> None:
    assert_found(found(next_hop=f"sip:127.0.0.1:{free_port()};lr")["next hop"], "no answer")


def test_a_next_hop_that_nobody_has_configured_yet_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_host: str, _port: int, _uri: str) -> str:
        return ""

    monkeypatch.setattr("omapush.health.sip_ping.ask", silent)
    finding = found()["next hop"]
    assert (finding.state, "nobody has configured" in finding.cause, bool(finding.action)) == (
        "warning",
        True,
        True,
    )


def test_a_next_hop_by_tcp_that_is_not_there_is_found() -> None:
    finding = found(next_hop=f"sip:127.0.0.1:{free_port()};transport=tcp;lr")["next hop"]
    assert_found(finding, "Connection refused")


def test_a_next_hop_without_a_name_in_dns_is_found() -> None:
    findings = found(next_hop="sip:scscf.invalid:6060;lr")
    assert_found(findings["next hop"], "scscf.invalid")


def test_each_server_behind_a_name_is_asked(core: SipPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    works, away = Server("127.0.0.1", core.port, "udp"), Server("127.0.0.1", free_port(), "tcp")

    async def find(_uri: SipUri, **_: object) -> resolving.Found:
        return resolving.Found((works, away), 60.0)

    monkeypatch.setattr(resolving, "find", find)
    of_core = config.parse({"core": {"next_hop": "sip:scscf.home1.example;lr"}}, "omapush.toml")
    *_, first, second = core_checks.next_hop(of_core)

    assert (first.state, second.state) == ("ok", "wrong")
    assert_found(second, f":{away.port}: Connection refused")


def test_a_next_hop_whose_requests_we_would_refuse_is_found(core: SipPeer) -> None:
    findings = found(next_hop=f"sip:127.0.0.1:{core.port};lr", trusted_peers=["192.0.2.0/24"])
    assert_found(findings["trusted peers"], "127.0.0.1")


@pytest.mark.parametrize(
    ("recipients", "state"),
    [
        (["sip:*@home1.example"], "ok"),
        (["*"], "ok"),
        (["sip:*@other.example", "sip:*@home1.example"], "ok"),
        (["sip:*@other.example"], "wrong"),
    ],
)
def test_an_identity_of_another_domain_than_all_users_is_found(recipients: list[str], state: str) -> None:
    tables = {"initiator": {"pi": {"password": "x", "recipients": recipients}}}
    finding = core_checks.domains(config.parse(tables, "omapush.toml"))
    assert finding.state == state
    if state == "wrong":
        assert_found(finding, "other.example")


def test_a_back_end_that_takes_no_connection_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        tables = {"hosted": {"mms.ua": {"backend": f"http://127.0.0.1:{port}/"}}}
        assert [one.state for one in core_checks.back_ends(config.parse(tables, "x"))] == ["ok"]
    assert_found(next(core_checks.back_ends(config.parse(tables, "x"))), "refused")


def test_a_process_that_does_not_run_is_found() -> None:
    ours = Config(path="")
    sign = SIGN._replace(node=ours.node)
    assert_found(next(core_checks.processes(ours, [sign])), "api, msrp, notifier")
    all_of_them = [sign._replace(kind=kind) for kind in ("sip", "api", "notifier", "msrp")]
    assert [one.state for one in core_checks.processes(ours, all_of_them)] == ["ok"]


def test_a_node_that_was_forgotten_out_of_service_is_found() -> None:
    *_, finding = core_checks.processes(Config(path=""), [SIGN._replace(state=DRAINED)])
    assert_found(finding, SIGN.node)


@pytest.mark.parametrize("offset_ms", [-700, 700])
def test_a_node_whose_clock_is_off_is_found(offset_ms: int) -> None:
    assert core_checks.node_clocks([SIGN]).cause == "as that of Redis on each node: 1"
    assert_found(core_checks.node_clocks([SIGN, SIGN._replace(clock_ms=offset_ms)]), f"{offset_ms} ms")


def test_nodes_with_different_configurations_are_found() -> None:
    other = SIGN._replace(node="other", tables={"core": "b"})
    assert core_checks.configurations([SIGN, SIGN._replace(node="other")]).state == "ok"
    assert_found(core_checks.configurations([SIGN, other]), "[core] of host/127.0.0.1:5070, other")


def test_the_next_hop_of_the_defaults_is_trusted() -> None:
    assert core_checks.trusted(Config(path="", core=Core()), ["127.0.0.1"]).state == "ok"


async def only_known(uri: SipUri, **_: object) -> resolving.Found:
    if not uri.host.startswith("known"):
        raise resolving.NameNotFound(f"DNS knows no address of {uri.host}")
    return resolving.Found((Server("192.0.2.1", 5060, "udp"),), 60.0)


def reaching(*uris: str) -> Config:
    return Config(path="test.toml", core=Core(next_hop=uris[0], next_hops=uris[1:]))


def test_names_of_next_hops_have_to_be_in_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "find", only_known)
    core = reaching("sip:known.home1.example:6060;lr", "sip:127.0.0.1:5060")
    finding = core_checks.next_hop_names(core)
    assert (finding.state, finding.cause) == ("ok", "known.home1.example:6060")

    finding = core_checks.next_hop_names(reaching("sip:known.home1.example", "sip:localhost:6060;lr"))
    assert_found(finding, "localhost")
    assert "known" not in finding.cause


def test_addresses_of_next_hops_need_no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "find", None)
    core = reaching(
        "sip:127.0.0.1", "sip:[::1]", "sip:[::1]:5060;lr", "sip:192.0.2.1:6060", "sip:[2001:db8::1]"
    )

    assert core_checks.next_hop_names(core).state == "ok"
