"""The console through a browser: log-in, what happens now, one push; by mouse and by keyboard."""

import re

import pytest

from tests.browser.conftest import Page, log_in, picture
from tests.fakes.initiator import PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

expect = pytest.importorskip("playwright.sync_api", reason="`make test` installs what drives it").expect


def test_who_is_not_logged_in_goes_to_the_log_in_and_back(page: Page) -> None:
    page.goto("/console/push?ref=0123456789abcdef0123")
    expect(page).to_have_url(re.compile(r"/console/log-in\?next=/console/push"))
    expect(page.get_by_label("User")).to_be_focused()
    picture(page, "log-in")


def test_a_wrong_password_is_refused_in_the_words_of_an_unknown_user(page: Page) -> None:
    page.goto("/console/")
    for name in ("olga", "nobody"):
        page.get_by_label("User").fill(name)
        page.get_by_label("Password").fill("guessed")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    assert [cookie["name"] for cookie in page.context.cookies()] == ["omapush_log_in"]


def test_who_logs_out_is_out(page: Page) -> None:
    log_in(page, "vera")
    cookies = page.context.cookies()
    session = next(cookie for cookie in cookies if cookie["name"] == "omapush_session")
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Strict", "/console")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/console/log-in$"))
    page.context.add_cookies([session])  # the token itself is worth nothing any more
    page.goto("/console/")
    expect(page).to_have_url(re.compile("/console/log-in$"))


def test_a_push_appears_live_and_its_page_tells_what_happened(
    page: Page, front: Stack, core: SipPeer
) -> None:
    log_in(page, "vera")
    page.evaluate("window.loaded = 'once'")
    with PushInitiator(front.http, "trusted", PASSWORD) as provider:
        sent = provider.push(
            "live@provider.example", user_address("sip:alice@home1.example"), b"hi", app="mms.ua"
        )
    assert sent.code == "1001"
    row = page.locator("#recent tr", has=page.get_by_role("link", name="live@provider.example"))
    expect(row.get_by_text("delivered")).to_be_visible()
    assert page.evaluate("window.loaded") == "once"
    picture(page, "now")

    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="live@provider.example")).to_be_visible()
    expect(page.locator("#push-state")).to_have_text("delivered")
    ladder = page.locator(".ladder")
    expect(ladder).to_contain_text("accepted 1 recipient(s)")
    expect(ladder.locator("text", has_text="MESSAGE")).to_be_visible()
    expect(ladder).to_contain_text("no registration is known")
    picture(page, "push")


def test_a_push_is_found_by_its_id_with_the_keyboard_alone(page: Page, front: Stack, core: SipPeer) -> None:
    ref = front.submit("sip:bob@home1.example", push_id="keyboard@provider.example")
    front.finished(ref)
    log_in(page, "vera")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Find a push or a user")).to_be_focused()
    page.keyboard.type("keyboard@provider.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="keyboard@provider.example")).to_be_visible()
    expect(page).to_have_url(re.compile(f"ref={ref}"))
