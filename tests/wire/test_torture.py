"""The messages of RFC 4475 on the wire: each is answered as its category asks, and nobody dies of one."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.fakes.sip_text import NotSip, SipText
from tests.harness.sip_peer import SipPeer
from tests.harness.sip_ping import answers_options
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

CORPUS: Final = Path(__file__).parent.parent / "corpora" / "rfc4475"
SILENCE: Final = 0

# Every message, by what is the matter with it; the answers that are right, SILENCE for none. Where Kamailio's
# core cannot read a header that an answer needs (RFC 3261 8.2.6) there is nothing to build one from.
CATEGORIES: Final[dict[str, dict[str, set[int]]]] = {
    "valid, though odd": {
        "esc01": {405},
        "escnull": {200},
        "lwsdisp": {200},
        "longreq": {405},
        "dblreq": {200},
        "semiuri": {200},
        "transports": {200},
        "mpart01": {405},
        "inv2543": {405},
    },
    "valid, but beyond Kamailio's parser of header names and folded CSeq": {
        "wsinv": {SILENCE},
        "intmeth": {SILENCE},
        "esc02": {SILENCE},
    },
    "responses": {
        "unreason": {SILENCE},
        "noreason": {SILENCE},
        "bigcode": {SILENCE},
        "scalarlg": {SILENCE},
        "bcast": {SILENCE},
    },
    "Content-Length": {"clerr": {400}, "ncl": {SILENCE, 400}, "mcl01": {SILENCE, 400}},
    "malformed header": {
        "badinv01": {SILENCE, 400},
        "quotbal": {SILENCE, 400},
        "insuf": {SILENCE, 400},
        "multi01": {SILENCE, 400},
        "scalar02": {400},
        "mismatch01": {400},
        "mismatch02": {400, 501},
    },
    "malformed, with a meaning that is clear": {
        "badaspec": {200, 400},
        "baddn": {200, 400},
        "trws": {200, 400},
        "badbranch": {200, 400},
        "baddate": {405, 400},
    },
    "malformed start line": {
        "ltgtruri": {400},
        "lwsruri": {SILENCE, 400},
        "lwsstart": {SILENCE, 400},
        "badvers": {SILENCE, 505},
    },
    "a request-uri with headers, which are never made any": {"escruri": {405, 400}},
    "what we do not have": {
        "unkscm": {416},
        "novelsc": {416},
        "bext01": {420},
        "invut": {405, 415},
        "sdp01": {405, 406},
        "zeromf": {200, 483},
    },
    "REGISTER: a third party's is captured whatever its Contact looks like": {
        "cparam01": {200},
        "cparam02": {200},
        "regescrt": {200},
        "regaut01": {200},
        "regbadct": {200, 400},
        "unksm2": {200, 400},
    },
}
CASES: Final = [
    pytest.param(name, statuses, id=f"{name}: {category}")
    for category, messages in CATEGORIES.items()
    for name, statuses in messages.items()
]
DOMAINS: Final = ["example.com", "example.org", "example.net", "company.com", "chair-dnrc.example.com"]
_PORTS: Final = (5060, 5050, 5070)
"Where the messages' Via values have answers sent to."


class Sender(NamedTuple):
    """A trusted host of its own that holds the ports which the messages name."""

    host: str
    sockets: tuple[socket.socket, ...]

    def answers(self) -> list[bytes]:
        """What came so far."""
        found = []
        for one in self.sockets:
            while True:
                try:
                    found.append(one.recv(65_535))
                except BlockingIOError:
                    break
        return found


@pytest.fixture(scope="module")
def sender() -> Iterator[Sender]:
    host = f"127.{random.randint(2, 250)}.{random.randint(2, 250)}.77"
    sockets = []
    for port in _PORTS:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((host, port))
        one.setblocking(False)
        sockets.append(one)
    yield Sender(host, tuple(sockets))
    for one in sockets:
        one.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, sender: Sender) -> Iterator[Stack]:
    """A server that answers for the domains of the messages, and trusts who sends them."""
    settings = {
        "sip": {"aliases": DOMAINS},
        "core": {"trusted_peers": ["127.0.0.1/32", f"{sender.host}/32"]},
    }
    with Stack(tmp_path_factory.mktemp("torture"), settings, ("redis", "sip")) as running:
        yield running


def expect_life(stack: Stack) -> None:
    """Each worker answers, so that what came before has been dealt with."""
    with SipPeer() as peer:
        for _ in range(4):
            raw = request("OPTIONS", "sip:psa@home1.example", peer.address)
            assert peer.ask(raw, stack.sip).status == 200


def statuses_of(answers: list[bytes]) -> set[int]:
    found = set()
    for raw in answers:
        try:
            message = SipText.parse(raw)
        except NotSip:
            pytest.fail(f"an answer that is no SIP: {raw!r}")
        assert not message.is_request, raw
        found.add(message.status)
    return found or {SILENCE}


@pytest.mark.parametrize(("name", "statuses"), CASES)
def test_each_message_is_answered_as_its_category_asks(
    target: Stack, sender: Sender, name: str, statuses: set[int]
) -> None:
    sender.answers()
    sender.sockets[0].sendto((CORPUS / f"{name}.dat").read_bytes(), target.sip)
    answers: list[bytes] = []

    def answered() -> bool:
        answers.extend(sender.answers())
        return bool(answers)

    if SILENCE not in statuses:
        wait_until(answered, 5, f"an answer to {name}")
    expect_life(target)
    answered()

    assert statuses_of(answers) <= statuses, answers
    assert len({SipText.parse(one).header("CSeq") for one in answers}) <= 1, answers


def test_the_table_has_every_message_of_the_corpus_once() -> None:
    named = [name for messages in CATEGORIES.values() for name in messages]

    assert sorted(named) == sorted(path.stem for path in CORPUS.glob("*.dat"))
    assert len(named) == 49


def test_an_escaped_nul_in_a_user_part_is_no_end_of_it(target: Stack, sender: Sender) -> None:
    """escnull: two users that only a C string would take for one."""
    sender.sockets[0].sendto((CORPUS / "escnull.dat").read_bytes(), target.sip)
    wait_until(lambda: target.registration("sip:null-%00-null@example.com") is not None, 5, "the record")

    assert target.registration("sip:null-@example.com") is None


def test_octets_behind_the_body_of_a_datagram_are_dropped(target: Stack, sender: Sender) -> None:
    """dblreq: a whole INVITE follows, which is neither answered nor part of the body (RFC 3261 18.3)."""
    sender.answers()
    sender.sockets[0].sendto((CORPUS / "dblreq.dat").read_bytes(), target.sip)
    expect_life(target)

    assert {SipText.parse(answer).method for answer in sender.answers()} == {"REGISTER"}


@pytest.mark.parametrize("at_once", [False, True], ids=["one connection each", "one connection for all"])
def test_by_tcp_no_message_ends_more_than_its_own_connection(target: Stack, at_once: bool) -> None:
    files = sorted(CORPUS.glob("*.dat"))
    streams = [b"".join(file.read_bytes() for file in files)] if at_once else [f.read_bytes() for f in files]
    for stream in streams:
        with socket.create_connection(target.sip, timeout=5) as connection:
            connection.sendall(stream)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            try:
                while connection.recv(65_535):
                    pass
            except OSError:
                pass  # kept open, or closed: either is its own business
    expect_life(target)
    target.parts["sip"].wait_until(lambda: answers_options(target.sip), 10, "answer to OPTIONS")
