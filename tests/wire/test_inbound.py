"""What we answer ourselves."""

import re
from pathlib import Path

import httpx
import pytest

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

TAKEN = ["REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY"]
INVALID = sorted((Path(__file__).parent.parent / "corpora" / "invalid" / "sip").glob("*.sip"))


@pytest.mark.req("PSA-GEN-1")
def test_options_to_us_is_answered_even_to_a_stranger(stack: Stack) -> None:
    with SipPeer(host="127.0.0.2") as stranger:
        for uri in (f"sip:127.0.0.1:{stack.sip[1]}", "sip:psa@home1.example"):
            answer = stranger.ask(request("OPTIONS", uri, stranger.address), stack.sip)
            assert answer.status == 200
            assert answer.header("Allow").split(", ") == [*TAKEN, "INVITE", "ACK", "CANCEL", "BYE", "UPDATE"]
            assert {"message/sip", "application/reginfo+xml"} < set(answer.header("Accept").split(", "))
            assert answer.header("Accept-Encoding") == "identity"
            assert answer.header("Accept-Language") == "en"
            assert answer.header("Supported") == "path, pref"
            assert answer.header("Allow-Events") == "ua-profile"


@pytest.mark.parametrize("method", ["MESSAGE", "INVITE", "PUBLISH", "X-UNHEARD-OF"])
def test_a_method_that_we_do_not_take_gets_405_with_what_we_do(
    stack: Stack, core: SipPeer, method: str
) -> None:
    answer = core.ask(request(method, "sip:psa@home1.example", core.address), stack.sip)

    assert (answer.status, answer.header("Allow")) == (405, ", ".join(TAKEN))


def test_a_method_that_is_not_utf_8_is_answered_once_like_any_unknown_one(
    stack: Stack, core: SipPeer
) -> None:
    sent = request("FOO", "sip:psa@home1.example", core.address).replace(b"FOO", b"FO\xff")
    core.send(sent, stack.sip)
    wait_until(lambda: bool(core.responses), 5, "an answer")

    expect_life(stack, core)
    assert [one.status for one in core.responses if one.method != "OPTIONS"] == [405]


@pytest.mark.parametrize("host", ["home1.example", "HOME1.example", "home1.example;user=phone"])
def test_our_identity_is_known_in_each_spelling_and_the_users_of_its_host_are_not_us(
    stack: Stack, core: SipPeer, host: str
) -> None:
    assert core.ask(request("MESSAGE", f"sip:psa@{host}", core.address), stack.sip).status == 405
    assert core.ask(request("MESSAGE", f"sip:alice@{host}", core.address), stack.sip).status == 404


@pytest.mark.parametrize("method", ["BYE", "MESSAGE", "NOTIFY", "INFO", "X-UNHEARD-OF"])
def test_a_dialog_that_we_do_not_have_gets_481(stack: Stack, core: SipPeer, method: str) -> None:
    to = "<sip:psa@home1.example>;tag=gone"
    answer = core.ask(request(method, "sip:psa@home1.example", core.address, To=to), stack.sip)

    assert answer.status == 481


@pytest.mark.req("SUB-1")
def test_a_notify_outside_of_any_dialog_gets_481(stack: Stack, core: SipPeer) -> None:
    """RFC 6665 4.1.3: it matches no subscription of ours."""
    headers = [("Event", "reg"), ("Subscription-State", "active;expires=60")]
    notify = request("NOTIFY", "sip:psa@home1.example", core.address, headers)

    assert core.ask(notify, stack.sip).status == 481


def test_a_cancel_of_nothing_gets_481(stack: Stack, core: SipPeer) -> None:
    assert core.ask(request("CANCEL", "sip:psa@home1.example", core.address), stack.sip).status == 481


def test_a_request_without_a_route_is_nothing_to_complain_about(stack: Stack, core: SipPeer) -> None:
    before = stack.parts["sip"].log_text().count("ERROR")
    for method in ("OPTIONS", "MESSAGE"):
        core.ask(request(method, "sip:psa@home1.example", core.address), stack.sip)

    assert stack.parts["sip"].log_text().count("ERROR") == before


BROKEN: dict[str, tuple[str, str | None, set[int]]] = {
    "cseq of another method": ("CSeq", "1 INVITE", {400}),
    "cseq without a number": ("CSeq", "MESSAGE", set()),
    "cseq above 2 to the 31": ("CSeq", "36893488147419103232 MESSAGE", {400}),
    "content-length too large": ("Content-Length", "9999", {400}),
    "content-length negative": ("Content-Length", "-999", set()),
    "no call-id": ("Call-ID", None, set()),
    "no from": ("From", None, set()),
    "no to": ("To", None, set()),
    "no cseq": ("CSeq", None, set()),
    "unbalanced quotes in to": ("To", '"Mr. J. User <sip:j.user@example.com>', set()),
    "to without a uri": ("To", "<>", set()),
    "request-uri in brackets": ("", "MESSAGE <sip:psa@home1.example> SIP/2.0", {400}),
    "unknown version": ("", "MESSAGE sip:psa@home1.example SIP/7.0", set()),
    "escaped line end in the request-uri": ("", "MESSAGE sip:psa@home1.example;x=%0d%0a SIP/2.0", {405}),
}
"""
After RFC 4475: header (empty: the start line), what it becomes (None: it goes), the answer. No answer is
right where RFC 3261 8.2.6 leaves nothing to build one from, and Kamailio's core gives none either to
what it cannot parse at all.
"""


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_request_is_refused_and_the_worker_lives(stack: Stack, core: SipPeer, name: str) -> None:
    header, value, statuses = BROKEN[name]
    lines = request("MESSAGE", "sip:psa@home1.example", core.address).decode().split("\r\n")
    at = 0 if not header else next(i for i, line in enumerate(lines) if line.startswith(f"{header}:"))
    lines[at : at + 1] = [] if value is None else [f"{header}: {value}" if header else value]
    core.send("\r\n".join(lines).encode(), stack.sip)
    if statuses:
        wait_until(lambda: bool(core.responses), 5, "an answer")

    expect_life(stack, core)
    assert {one.status for one in core.responses if one.method != "OPTIONS"} == statuses


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_bytes_that_are_no_sip_kill_nobody(stack: Stack, core: SipPeer, file: Path) -> None:
    core.send(file.read_bytes(), stack.sip)

    expect_life(stack, core)


def expect_life(stack: Stack, core: SipPeer) -> None:
    """Ask more often than there are workers."""
    for _ in range(4):
        assert core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), stack.sip).status == 200


def test_made_up_methods_are_counted_as_one_and_cannot_fill_or_break_the_metrics(
    stack: Stack, core: SipPeer
) -> None:
    url = f"http://127.0.0.1:{stack.sip[1]}/metrics"
    methods = [*(f"MADE-UP-{n}" for n in range(200)), 'Q"UOTE', "BACK\\SLASH"]
    for method in methods:
        core.send(request(method, "sip:psa@home1.example", core.address), stack.sip)
    assert core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), stack.sip).status == 200

    counted = re.compile(r'omapush_sip_requests_received_total\{method="other"\} ([0-9]+)')
    wait_until(
        lambda: sum(map(int, counted.findall(httpx.get(url, trust_env=False).text))) >= len(methods) - 2,
        5,
        "all counted",
    )
    shown = httpx.get(url, trust_env=False).text
    assert "MADE-UP" not in shown
    assert "UOTE" not in shown


def test_counters_are_shown_over_http(stack: Stack, core: SipPeer) -> None:
    core.ask(request("PUBLISH", "sip:psa@home1.example", core.address), stack.sip)
    url = f"http://127.0.0.1:{stack.sip[1]}"

    shown = httpx.get(f"{url}/metrics", trust_env=False)
    assert shown.status_code == 200
    assert 'omapush_sip_requests_received_total{method="PUBLISH"}' in shown.text
    assert "udp receiver" in httpx.get(f"{url}/processes", trust_env=False).text  # to the node itself
    assert httpx.get(f"{url}/other", trust_env=False).status_code == 404
