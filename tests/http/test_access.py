"""Who comes in: accounts whose password is stored as a hash, as initiators, guessers and operators see it."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from omapush.cli import main
from omapush.pap_http.passwords import hashed
from tests.fakes.initiator import PushInitiator
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.http.test_json import body

SECRET = "correct horse battery"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation that has only a hash of one initiator's password."""
    settings: Settings = {
        "api": {"connections_per_address": 5, "request_s": 1},
        "audit": {"folder": str(tmp_path_factory.mktemp("audit") / "record")},
        "initiator.sealed": {"password_hash": hashed(SECRET)},
        "initiator.meek": {"password": PASSWORD, "operations": ["submit"], "methods": ["MESSAGE"]},
        "initiator.home": {"password": PASSWORD, "addresses": ["192.0.2.0/24"]},
    }
    with Stack(tmp_path_factory.mktemp("guarded"), settings, ("redis", "sip", "api")) as running:
        yield running


def ask(front: Stack, push_id: str, user: str, password: str, address: str = "192.0.2.7") -> httpx.Response:
    """Submit a push; `address` is what the proxy in front says the request came from."""
    return httpx.post(
        f"{front.http}/v1/pushes",
        json=body(push_id),
        auth=(user, password),
        headers={"X-Forwarded-For": address},
        trust_env=False,
        timeout=10,
    )


def submit(front: Stack, push_id: str, user: str, password: str, address: str = "192.0.2.7") -> int:
    return ask(front, push_id, user, password, address).status_code


def test_a_password_of_which_only_the_hash_is_known_lets_its_initiator_in(guarded: Stack) -> None:
    assert submit(guarded, "1@hash", "sealed", SECRET) == 201
    assert submit(guarded, "2@hash", "sealed", SECRET) == 201
    assert submit(guarded, "3@hash", "trusted", PASSWORD) == 201


def test_neither_a_wrong_password_nor_the_stored_hash_itself_lets_anybody_in(guarded: Stack) -> None:
    stored = guarded.config.initiator["sealed"].password_hash

    for password in ("wrong", "", stored, PASSWORD):
        assert submit(guarded, "4@hash", "sealed", password) == 401
    log = guarded.parts["api"].log_text()
    assert SECRET not in log
    assert stored not in log


def test_a_hash_is_made_by_the_command_and_goes_into_the_configuration(
    guarded: Stack, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "omapush.cli.main", "initiator", "hash"]
    made = subprocess.run(command, input="new one\n", capture_output=True, text=True, timeout=60, check=False)
    file = tmp_path / "omapush.toml"
    file.write_text(
        f'[initiator.pi]\npassword_hash = "{made.stdout.strip()}"\n[initiator.lab]\npassword = "x"\n'
    )
    checked = subprocess.run(
        [*command[:3], "--config", file, "config", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (made.returncode, made.stderr) == (0, "")
    assert "new one" not in made.stdout
    assert checked.returncode == 0
    assert "can be read on this machine: lab;" in checked.stderr


def test_the_command_pushes_for_an_initiator_whose_password_it_is_given(
    guarded: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("hello")
    what = ("--to", "sip:alice@home1.example", "--app", "mms.ua", "--type", "text/plain")
    words = ("push", "send", *what, "--file", tmp_path / "x", "--initiator", "sealed")

    without = omapush(guarded, *words)
    assert without.returncode == 1
    assert "set $OMAPUSH_INITIATOR_PASSWORD" in without.stderr
    monkeypatch.setenv("OMAPUSH_INITIATOR_PASSWORD", SECRET)
    sent = omapush(guarded, *words)
    assert (sent.returncode, sent.stderr) == (0, "")


def test_a_guesser_is_locked_out_and_the_initiator_is_not(guarded: Stack) -> None:
    """At its usual address the initiator goes on, though the guesser's own next try is not even looked at."""
    guesser = "198.51.100.66"
    assert submit(guarded, "1@lock", "sealed", SECRET) == 201

    assert [submit(guarded, "2@lock", "sealed", "wrong", guesser) for _ in range(10)] == [401] * 10
    refused = ask(guarded, "3@lock", "sealed", SECRET, guesser)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 31
    assert refused.json()["field"] == "Authorization"
    assert submit(guarded, "4@lock", "sealed", SECRET) == 201

    log = guarded.parts["api"].log_text()
    assert "event=authentication_locked" in log
    assert f"value={guesser}" in log
    assert 'omapush_lock_outs_total{what="address"} 1.0' in httpx.get(f"{guarded.http}/metrics").text
    recorded = json.loads(omapush(guarded, "audit", "show", "--json", "--did", "lock-out").stdout)
    assert [(one["what"], one["result"]) for one in recorded] == [(f"address {guesser}", "done")]


def test_a_restart_does_not_open_the_door_again(guarded: Stack) -> None:
    """Redis has counted: the first failure that another process sees locks there, too."""
    guesser = "198.51.100.77"
    assert {submit(guarded, "1@again", "nobody", "wrong", guesser) for _ in range(10)} == {401}
    guarded.restart("api")

    assert submit(guarded, "2@again", "nobody", "wrong", guesser) == 401
    assert submit(guarded, "3@again", "nobody", "wrong", guesser) == 429


def commanded(front: Stack, *words: str) -> Result:
    """The same command without a process of its own."""
    return CliRunner().invoke(main.app, ["--config", front.config.path, *words])


def test_an_operator_sees_who_is_locked_out_and_lifts_it(guarded: Stack) -> None:
    """The initiator's own mistake, from where it usually comes from; and a guesser's address beside it."""
    usual, guesser = "192.0.2.88", "198.51.100.88"
    assert submit(guarded, "1@lift", "sealed", SECRET, usual) == 201
    assert {submit(guarded, "2@lift", "sealed", "wrong", usual) for _ in range(10)} == {401}
    assert {submit(guarded, "3@lift", "nobody", "wrong", guesser) for _ in range(10)} == {401}
    assert submit(guarded, "4@lift", "sealed", SECRET, usual) == 429

    found = {one["locked"]: one for one in json.loads(commanded(guarded, "locked", "--json").stdout)}
    assert (found["initiator/sealed"]["from"], found["initiator/sealed"]["wrong_passwords"]) == (usual, 10)
    assert found["initiator/sealed"]["since"] < found["initiator/sealed"]["until"]
    assert f"address/{guesser}" in found

    lifted = commanded(guarded, "initiator", "unlock", "sealed")
    assert lifted.exit_code == 0, lifted
    assert f"initiator/sealed: unlocked from {usual}, was locked since" in lifted.stdout
    wait_until(
        lambda: submit(guarded, "5@lift", "sealed", SECRET, usual) == 201, 5, "the initiator is let in"
    )
    assert submit(guarded, "6@lift", "nobody", "wrong", guesser) == 429
    recorded = json.loads(commanded(guarded, "audit", "show", "--json", "--did", "unlock").stdout)
    assert [(one["what"], one["result"]) for one in recorded] == [("initiator/sealed", "done")]


def test_what_cannot_be_unlocked_is_named(guarded: Stack) -> None:
    for what, why in (
        ("initiator/nobody", "the configuration has no such initiator"),
        ("address/home1", "no IP address"),
        ("sealed", "right would be initiator/NAME"),
    ):
        assert why in str(commanded(guarded, "unlock", what).exception)


def test_an_account_with_addresses_is_let_in_from_there_alone(guarded: Stack) -> None:
    assert submit(guarded, "1@home", "home", PASSWORD) == 201
    assert submit(guarded, "2@home", "home", PASSWORD, "203.0.113.9") == 401


def test_nobody_but_a_trusted_proxy_says_where_a_request_comes_from(guarded: Stack) -> None:
    """127.0.0.2 is no such proxy: what it claims to come from is not believed."""
    own = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=own, headers={"X-Forwarded-For": "192.0.2.7"}) as client:
        answer = client.post(f"{guarded.http}/v1/pushes", json=body("3@home"), auth=("home", PASSWORD))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/pushes/x@meek/cancel"),
        ("GET", "/v1/pushes"),
        ("GET", "/v1/pushes/x@meek"),
        ("PUT", "/v1/lists/team"),
        ("POST", "/v1/pushes/x@meek/abort"),
        ("GET", "/v1/registrations/sip:alice@home1.example"),
        ("GET", "/v1/subscriptions?application=mms.ua"),
        ("DELETE", "/v1/subscriptions/1"),
    ],
)
def test_an_initiator_does_nothing_by_json_that_it_is_not_allowed(
    guarded: Stack, method: str, path: str
) -> None:
    answer = httpx.request(method, guarded.http + path, auth=("meek", PASSWORD), trust_env=False)

    assert answer.status_code == 403
    assert "the operator has not allowed" in answer.json()["detail"]


def test_an_initiator_does_nothing_by_pap_that_it_is_not_allowed(guarded: Stack) -> None:
    with PushInitiator(guarded.http, "meek", PASSWORD) as meek:
        assert meek.push("1@meek", ["sip:alice@home1.example"], b"x", app="mms.ua").code == "1001"
        assert meek.status("1@meek").code == "2001"
        assert meek.cancel("1@meek").code == "2001"
        replacing = meek.push("2@meek", ["sip:alice@home1.example"], b"x", replace_push_id="1@meek")
        assert replacing.code == "2001"
    asks = httpx.post(
        f"{guarded.http}/v1/pushes",
        json=body("3@meek", method="INVITE"),
        auth=("meek", PASSWORD),
        trust_env=False,
    )
    assert (asks.status_code, asks.json()["field"]) == (403, "method")


def test_results_go_into_no_network_of_ours_that_the_operator_has_not_named(guarded: Stack) -> None:
    """127.0.0.0/8 is named for the tests; what else is inside is refused with the push."""

    def asks(push_id: str, url: str) -> httpx.Response:
        return httpx.post(
            f"{guarded.http}/v1/pushes",
            json=body(push_id, notify_url=url),
            auth=("trusted", PASSWORD),
            trust_env=False,
        )

    assert asks("1@inside", "http://127.0.0.1:9/").status_code == 201
    for number, host in enumerate(("10.0.0.1", "[::1]", "169.254.169.254")):
        refused = asks(f"{number}@refused", f"http://{host}/")
        assert (refused.status_code, refused.json()["field"]) == (403, "notify_url")
    with PushInitiator(guarded.http, "trusted", PASSWORD) as provider:
        answer = provider.push("2@inside", ["sip:alice@home1.example"], b"x", notify_to="http://10.0.0.1/")
    assert answer.code == "2001"


def connected(front: Stack, address: str = "127.0.0.1") -> socket.socket:
    """A connection to the api, as far as TCP goes."""
    there = ("127.0.0.1", int(front.http.rpartition(":")[2]))
    return socket.create_connection(there, 10, source_address=(address, 0))


def heard(connection: socket.socket) -> bytes:
    """All that is said until the other side closes."""
    said = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            said += more
    return said


BASIC = base64.b64encode(f"trusted:{PASSWORD}".encode())


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y",
        b"POST /v1/pushes HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nContent-Type: application/json\r\n"
        b"Authorization: Basic " + BASIC + b"\r\n\r\n{",
    ],
    ids=["head", "body"],
)
def test_a_request_that_comes_too_slowly_is_told_so_and_cut_off(guarded: Stack, begun: bytes) -> None:
    with connected(guarded) as connection:
        connection.sendall(begun)
        assert heard(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_request_that_was_refused_before_its_end_is_not_answered_twice(guarded: Stack) -> None:
    with connected(guarded) as connection:
        connection.sendall(b"POST /v1/pushes HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert heard(connection).count(b"HTTP/1.1 ") == 1


def test_a_silent_connection_is_closed_without_a_word(guarded: Stack) -> None:
    with connected(guarded) as connection:
        assert heard(connection) == b""


def test_too_many_fields_are_refused(guarded: Stack) -> None:
    for fields, status in ((90, b" 200 "), (101, b" 431 ")):
        with connected(guarded) as connection:
            connection.sendall(
                b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"X: y\r\n" * fields + b"\r\n"
            )
            assert status in heard(connection).split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: -1\r\n",
        b"X : y\r\n",
        b"X: a\r\n b\r\n",
    ],
    ids=["both lengths", "two lengths", "not chunked last", "negative", "blank in a name", "folded"],
)
def test_a_request_that_two_servers_may_read_differently_is_refused(guarded: Stack, fields: bytes) -> None:
    """What would be a second request to one of them must not be carried out."""
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with connected(guarded) as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + hidden)
        said = heard(connection)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b" 200 " not in said


def test_one_address_has_so_many_connections_and_others_have_theirs(guarded: Stack) -> None:
    with ExitStack() as opened:
        for _ in range(5):
            opened.enter_context(connected(guarded, "127.0.0.9"))
        one_more = opened.enter_context(connected(guarded, "127.0.0.9"))
        refused = heard(one_more)
        assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"retry-after: 5" in refused
        with connected(guarded, "127.0.0.10") as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert heard(other).startswith(b"HTTP/1.1 200 ")


CAREFUL = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/schema/openapi.json", 200),
        ("GET", "/v1/pushes", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/healthz", 405),
        ("POST", "/pap", 401),
        ("GET", "/content/x", 404),
    ],
)
def test_every_answer_tells_browsers_to_be_careful(
    guarded: Stack, method: str, path: str, status: int
) -> None:
    answer = httpx.request(method, guarded.http + path, trust_env=False)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in CAREFUL} == CAREFUL
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.startswith("sandbox;") == path.startswith("/content/")
    assert "strict-transport-security" not in answer.headers
    assert len(answer.headers.get_list("x-content-type-options")) == 1


def test_a_proxy_that_speaks_tls_makes_browsers_stay_with_it(guarded: Stack) -> None:
    by_tls = httpx.get(f"{guarded.http}/healthz", headers={"X-Forwarded-Proto": "https"}, trust_env=False)
    assert by_tls.headers["strict-transport-security"] == "max-age=31536000"


def test_what_the_application_never_sees_is_answered_carefully_too(guarded: Stack) -> None:
    with connected(guarded) as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        said = heard(connection).lower()
    assert said.startswith(b"http/1.1 400 ")
    assert b"x-content-type-options: nosniff" in said
