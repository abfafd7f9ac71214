"""One installation with a console, and one browser, for all tests of this folder; a page for each test."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = ROOT / "build" / "screenshots"
PASSWORDS = {"olga": "operate this", "vera": "view only"}
SETTINGS: Settings = {
    "operator.olga": {"password": PASSWORDS["olga"], "role": "operate"},
    "operator.vera": {"password": PASSWORDS["vera"]},
    'application."held.ua"': {"accept_contact": "strict", "no_match": "hold"},
    "initiator.limited": {"password": "limited", "rate": 5.0, "burst": 10, "daily": 1000},
}
DEADLINE_MS = 20_000

Page = Any
"A page of playwright, which is not installed everywhere."


class Console:
    """The console as a program without a browser uses it."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def client(self, name: str) -> Iterator[httpx.Client]:
        """A client that is logged in as that user; nobody when it has no name."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            if name:
                assert self.log_in(client, name).status_code == 303
            yield client

    def log_in(
        self, client: httpx.Client, name: str, leads_to: str = "", password: str = ""
    ) -> httpx.Response:
        """Fill in the form of the log-in."""
        token = self.csrf(client, "/console/log-in")
        data = {"user": name, "password": password or PASSWORDS[name], "csrf": token, "next": leads_to}
        return client.post("/console/log-in", data=data)

    def csrf(self, client: httpx.Client, path: str = "/console/send") -> str:
        """The token that forms of a page carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
        assert found is not None
        return found[1]


@pytest.fixture(scope="package")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All processes, running."""
    folder = tmp_path_factory.mktemp("console")
    audit = {"audit": {"folder": str(folder / "audit")}}
    with Stack(folder, {**SETTINGS, **audit}) as running:
        yield running


@pytest.fixture
def console(front: Stack) -> Console:
    """Its console."""
    return Console(front.http)


@pytest.fixture(scope="package")
def core(front: Stack) -> Iterator[SipPeer]:
    """The next hop: it takes every push."""
    with SipPeer(front.core_port) as peer:
        yield peer


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's chromium, to the end of this folder: while it lives nobody else can run an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="`make test` installs what drives it")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def new_page(browser: Any, front: Stack) -> Iterator[Any]:
    """Makes pages of browsers that nobody is logged in with; what goes wrong in them fails the test."""
    troubles: list[str] = []
    contexts = []

    def told(said: Any) -> None:
        if "Content Security" in said.text:
            troubles.append(said.text)

    def asked(request: Any) -> None:
        if not request.url.startswith(front.http):
            troubles.append(request.url)

    def make(**options: Any) -> Page:
        context = browser.new_context(
            base_url=front.http, **{"viewport": {"width": 1280, "height": 860}, **options}
        )
        contexts.append(context)
        context.set_default_timeout(DEADLINE_MS)
        opened = context.new_page()
        opened.on("pageerror", lambda error: troubles.append(f"script: {error}"))
        opened.on("console", told)
        opened.on("request", asked)
        return opened

    yield make
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def page(new_page: Any) -> Page:
    """A page as most have it."""
    return new_page()


def enter(page: Page, console: Console, name: str) -> None:
    """Be logged in, without the form."""
    with console.client(name) as client:
        session = client.cookies["omapush_session"]
    page.context.add_cookies([{"name": "omapush_session", "value": session, "url": f"{console.url}/console"}])


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, when somebody wants to see it: `make pictures`."""
    if "OMAPUSH_PICTURES" not in os.environ:
        return
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)
