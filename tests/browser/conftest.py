"""One installation with a console, and one browser, for all tests of this folder; a page for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
DEADLINE_MS = 15_000

Page = Any
"A page of playwright, which is not installed everywhere."


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All processes, running."""
    folder = tmp_path_factory.mktemp("console")
    audit = {"audit": {"folder": str(folder / "audit")}}
    with Stack(folder, {**SETTINGS, **audit}) as running:
        yield running


@pytest.fixture(scope="module")
def core(front: Stack) -> Iterator[SipPeer]:
    """The next hop: it takes every push."""
    with SipPeer(front.core_port) as peer:
        yield peer


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="`make test` installs what drives it")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, front: Stack) -> Iterator[Page]:
    """A page of a browser without cookies that nobody is logged in with; its errors fail the test."""
    context = browser.new_context(base_url=front.http, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(DEADLINE_MS)
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(f"script: {error}"))
    opened.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
    opened.on(
        "request",
        lambda request: None if request.url.startswith(front.http) else troubles.append(request.url),
    )
    yield opened
    context.close()
    assert troubles == []


def log_in(page: Page, name: str, leads_to: str = "/console/") -> None:
    """Log in by hand, from wherever the console sends who is not."""
    page.goto(leads_to)
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORDS[name])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{leads_to}")


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)
