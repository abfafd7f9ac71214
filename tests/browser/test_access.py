"""Who may do what in the console, without a browser: sessions, roles, forms, guessing, the audit record."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.push.values import PENDING
from omapush.store import nodes
from tests.browser.conftest import PASSWORDS, Console
from tests.harness.stack import Stack

PAGES = (
    *("/console/", "/console/pushes", "/console/push?ref=0123456789abcdef0123", "/console/find?q=x"),
    *("/console/users", "/console/user?aor=sip:a@home1.example", "/console/fan-outs"),
    *("/console/applications", "/console/alarms", "/console/nodes", "/console/send", "/console/events"),
)
DEEDS = ("/console/push/cancel", "/console/push/steer", "/console/nodes/drain", "/console/nodes/undrain")
FORMS = (*DEEDS, "/console/send")


@pytest.fixture
def held(front: Stack) -> str:
    """The reference of a push that waits."""
    return front.submit("sip:held@home1.example", app="held.ua")


def fields(front: Stack, ref: str) -> dict[str, str]:
    """What every deed could want."""
    node = nodes.live(front.store)[0].node
    return {"ref": ref, "what": "abort", "node": node, "initiator": "trusted", "to": "sip:a@home1.example"}


def untouched(front: Stack, ref: str) -> bool:
    """The push waits, and no node is drained."""
    orders = [nodes.look(front.store, sign.node)[0].drain_ms for sign in nodes.live(front.store)]
    return front.known(ref).results[0].state == PENDING and not any(orders)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_for_who_is_logged_in(front: Stack, path: str) -> None:
    answer = httpx.get(front.http + path, trust_env=False)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/log-in")


def test_every_route_is_among_the_pages_and_forms_above(front: Stack) -> None:
    from omapush.pap_http.console.routes import router

    routes = {(route.path, method) for route in router().routes for method in getattr(route, "methods", ())}
    read = {path.partition("?")[0].rstrip("/") for path in PAGES}
    open_to_all = {"/console/log-in", "/console/log-out", "/console/static/{release:str}/{name:str}"}

    assert {path for path, method in routes if method == "GET"} - open_to_all == read
    assert {path for path, method in routes if method == "POST"} - open_to_all == set(FORMS)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_token_of_its_session_does_nothing(
    console: Console, front: Stack, held: str, path: str
) -> None:
    with console.client("olga") as olga, console.client("vera") as vera:
        other = console.csrf(vera)
        for token in ("", "guessed", other):
            assert olga.post(path, data={**fields(front, held), "csrf": token}).status_code == 403
    assert untouched(front, held)


@pytest.mark.parametrize("path", FORMS)
def test_the_role_view_does_nothing(console: Console, front: Stack, held: str, path: str) -> None:
    with console.client("vera") as vera:
        answer = vera.post(path, data={**fields(front, held), "csrf": console.csrf(vera)})
    assert (answer.status_code, "your role is view" in answer.text) == (403, True)
    assert untouched(front, held)


def test_a_form_that_another_site_sends_does_nothing(console: Console, front: Stack, held: str) -> None:
    with console.client("olga") as olga:
        data = {**fields(front, held), "csrf": console.csrf(olga)}
        for origin in ("http://evil.example", "null"):
            refused = olga.post("/console/push/cancel", data=data, headers={"Origin": origin})
            assert refused.status_code == 403
    assert untouched(front, held)


def test_a_log_in_form_of_another_browser_logs_nobody_in(front: Stack) -> None:
    with httpx.Client(base_url=front.http, trust_env=False) as client:
        data = {"user": "olga", "password": PASSWORDS["olga"], "csrf": "made up"}
        assert client.post("/console/log-in", data=data).status_code == 403
        assert "omapush_session" not in client.cookies


@pytest.mark.parametrize("leads_to", ["//evil.example/", "https://evil.example/", "/console/\\evil", "/pap"])
def test_a_log_in_leads_nowhere_but_to_the_console(console: Console, leads_to: str) -> None:
    with console.client("") as client:
        answer = console.log_in(client, "vera", leads_to)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")


def reload(front: Stack, text: str) -> None:
    front.config_file.write_text(text)
    done = CliRunner().invoke(app, ["--config", str(front.config_file), "reload"])
    assert done.exit_code == 0, done.output


def test_who_gets_another_password_is_logged_out(console: Console, front: Stack) -> None:
    before = front.config_file.read_text()
    with console.client("olga") as olga, console.client("vera") as vera:
        reload(front, before.replace(f'"{PASSWORDS["olga"]}"', '"another password"'))
        try:
            assert olga.get("/console/pushes").status_code == 303
            assert vera.get("/console/pushes").status_code == 200
            assert console.log_in(olga, "olga").status_code == 401
            assert console.log_in(olga, "olga", password="another password").status_code == 303
            assert olga.get("/console/pushes").status_code == 200
        finally:
            reload(front, before)


def test_redis_knows_no_token(console: Console, front: Stack) -> None:
    with console.client("vera") as vera:
        token = vera.cookies["omapush_session"]
    stored: Any = front.db.keys("console-session:*")
    assert stored
    assert all(token.encode() not in name for name in stored)
    assert all(0 < front.db.ttl(name) <= 28_800 for name in stored)


def test_answers_let_nothing_else_run_and_are_not_kept(console: Console) -> None:
    with console.client("vera") as vera:
        for path in ("/console/", "/console/push?ref=0123456789abcdef0123", "/console/log-in"):
            answer = vera.get(path)
            headers = answer.headers
            assert "content-security-policy" in headers, (path, answer.status_code, answer.text)
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_what_a_push_or_user_is_called_is_shown_as_text(console: Console, front: Stack) -> None:
    front.submit("sip:x@home1.example", push_id="<script>alert(1)</script>@a", app="held.ua")
    with console.client("vera") as vera:
        page = vera.get("/console/pushes").text
        wrong = vera.get("/console/find", params={"q": "<b>nobody:</b>"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;@a" in page
    assert "<script>alert" not in page
    assert (wrong.status_code, "<b>nobody" in wrong.text) == (404, False)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/console/push?ref=nothing", 404, "is no reference of a push"),
        ("/console/push?ref=0123456789abcdef0123", 404, "or not any more"),
        ("/console/user?aor=mailto:x", 400, "user: "),
        ("/console/pushes?since=yesterday", 400, "since: is no time"),
        ("/console/pushes?after=x", 400, "after: "),
        ("/console/pushes?initiator=nobody", 400, "initiator: "),
    ],
)
def test_what_is_asked_for_wrongly_is_named(console: Console, path: str, status: int, words: str) -> None:
    with console.client("vera") as vera:
        answer = vera.get(path)
    assert (answer.status_code, words in answer.text) == (status, True)


def test_deeds_and_log_ins_are_in_the_audit_record(console: Console, front: Stack, held: str) -> None:
    with console.client("olga") as olga:
        data = {"ref": held, "csrf": console.csrf(olga)}
        assert olga.post("/console/push/cancel", data=data).status_code == 303
    with console.client("") as client:
        console.log_in(client, "vera", password="guessed")
    assert front.finished(held).results[0].state == "cancelled"

    entries = list(audit(front))
    assert ("operator/olga", "log-in", "console", "done") in entries
    assert ("operator/olga", "cancel", held, "done") in entries
    assert ("nobody", "log-in", "console as vera", "401") in entries


def audit(front: Stack) -> Iterator[tuple[str, str, str, str]]:
    """Who did what to what, and what came of it."""
    for file in (front.folder / "audit").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            yield entry["who"], entry["did"], entry["what"], entry["result"]


def test_who_guesses_is_locked_out_and_told_when_to_come_back(console: Console, front: Stack) -> None:
    guesser = httpx.HTTPTransport(local_address="127.0.0.9")
    with httpx.Client(base_url=front.http, transport=guesser, trust_env=False) as client:
        answers = [console.log_in(client, "olga", password=f"guess {number}") for number in range(11)]
        last = console.log_in(client, "olga")

    assert {answer.status_code for answer in answers[:10]} == {401}
    assert (last.status_code, int(last.headers["retry-after"]) > 0) == (429, True)
    assert re.search("too many wrong passwords", last.text)
    with console.client("olga") as olga:  # who comes from where it always does is not locked out
        assert olga.get("/console/").status_code == 200
