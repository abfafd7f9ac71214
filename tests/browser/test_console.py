"""The console through a browser: every page, live, by mouse and keyboard, by day and night, on a phone."""

import re
from typing import Any

import httpx
import pytest

from omapush import clock
from omapush.protocol.third_party_register import EmbeddedContact
from omapush.push.alarms import at_sight
from omapush.push.capabilities import Facts
from omapush.push.registration import Report
from omapush.store import capabilities, codec, keys, nodes, registrations
from omapush.store.client import ask_all
from tests.browser.conftest import DEADLINE_MS, PASSWORDS, Console, Page, enter, picture
from tests.fakes.initiator import PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

expect = pytest.importorskip("playwright.sync_api", reason="`make test` installs what drives it").expect
expect.set_options(timeout=DEADLINE_MS)
SECTIONS = ("/", "/pushes", "/users", "/fan-outs", "/applications", "/alarms", "/nodes", "/send")
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_who_is_not_logged_in_goes_to_the_log_in_and_from_there_on(page: Page) -> None:
    page.goto("/console/alarms?x=1")
    expect(page).to_have_url(re.compile(r"/console/log-in\?next=/console/alarms%3Fx%3D1"))
    expect(page.get_by_label("User")).to_be_focused()
    picture(page, "log-in")
    for name in ("vera", "nobody"):
        page.get_by_label("User").fill(name)
        page.get_by_label("Password").fill("guessed")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    page.get_by_label("User").fill("vera")
    page.get_by_label("Password").fill(PASSWORDS["vera"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/console/alarms\?x=1$"))
    expect(page.get_by_role("heading", name="Alarms")).to_be_visible()

    session = next(one for one in page.context.cookies() if one["name"] == "omapush_session")
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Strict", "/console")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/console/log-in$"))
    page.context.add_cookies([session])  # the token itself is worth nothing any more
    page.goto("/console/")
    expect(page).to_have_url(re.compile("/console/log-in$"))


def test_a_push_appears_live_and_its_page_tells_what_happened(
    page: Page, console: Console, front: Stack, core: SipPeer
) -> None:
    enter(page, console, "vera")
    page.goto("/console/")
    page.evaluate("window.loaded = 'once'")
    with PushInitiator(front.http, "trusted", PASSWORD) as provider:
        alice = user_address("sip:alice@home1.example")
        sent = provider.push("live@provider.example", alice, b"hi", app="mms.ua")
    assert sent.code == "1001"
    row = page.locator("#recent tr", has=page.get_by_role("link", name="live@provider.example"))
    expect(row.get_by_text("delivered")).to_be_visible()
    expect(page.locator("#tile-accepted")).to_have_text(re.compile(r"^[0-9.]+/s$"))
    expect(page.locator("#parts")).to_contain_text("Kamailio")
    assert page.evaluate("window.loaded") == "once"
    picture(page, "now")

    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="live@provider.example")).to_be_visible()
    expect(page.locator("#push-state")).to_have_text("delivered")
    ladder = page.locator(".ladder")
    expect(ladder).to_contain_text("accepted 1 recipient(s)")
    expect(ladder.locator("text", has_text="MESSAGE")).to_be_visible()
    expect(ladder).to_contain_text("no registration is known")
    expect(page.get_by_role("button", name="Cancel push")).to_have_count(0)
    picture(page, "push")


def test_all_can_be_reached_with_the_keyboard_alone(
    page: Page, console: Console, front: Stack, core: SipPeer
) -> None:
    ref = front.submit("sip:bob@home1.example", push_id="keyboard@provider.example")
    front.finished(ref)
    enter(page, console, "vera")
    page.goto("/console/alarms")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("/")
    expect(page.get_by_label("Find a push or a user")).to_be_focused()
    page.keyboard.type("keyboard@provider.example")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"ref={ref}"))
    page.keyboard.press("/")
    page.keyboard.type("sip:bob@home1.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="sip:bob@home1.example")).to_be_visible()
    expect(page.get_by_role("link", name="keyboard@provider.example")).to_be_visible()


def test_a_push_is_searched_for_by_user_and_state(
    page: Page, console: Console, front: Stack, core: SipPeer
) -> None:
    done = front.submit("sip:sought@home1.example", push_id="done@provider.example")
    front.submit("sip:sought@home1.example", push_id="waits@provider.example", app="held.ua")
    front.finished(done)
    enter(page, console, "vera")
    page.goto("/console/pushes")
    page.get_by_label("User", exact=True).fill("sought@home1.example")
    page.get_by_label("State").select_option("running")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("link", name="waits@provider.example")).to_be_visible()
    expect(page.get_by_role("link", name="done@provider.example")).to_have_count(0)


def known_user(front: Stack, aor: str) -> None:
    """Have a user be registered with a device that is known for something."""
    now_ms, uri = clock.now_ms(), "sip:carol@192.0.2.7"
    tags = (("+g.oma.pusheventapp", "mms.ua"), ("audio", None))
    device = EmbeddedContact(uri, 600, None, ("mms.ua",), tags, "urn:uuid:1", None)
    report = Report(aor, 600, "sip:s-cscf.example", "", (device,), False, "register", (), "", "", now_ms, ())
    registrations.capture(front.store, [report])
    facts = Facts("urn:uuid:1", "answer", now_ms, now_ms + 600_000, types=("text/plain",))
    capabilities.learn(front.store, {aor: [facts]}, now_ms)


def test_the_page_of_a_user_shows_devices_capabilities_and_what_waits(
    page: Page, console: Console, front: Stack, core: SipPeer
) -> None:
    known_user(front, "sip:carol@home1.example")
    front.submit("sip:carol@home1.example", push_id="waits.carol@provider.example", app="held.ua")
    enter(page, console, "vera")
    page.goto("/console/user?aor=sip:carol@home1.example")
    expect(page.locator("#registered")).to_have_text("registered")
    body = page.locator("main")
    for words in ("sip:carol@192.0.2.7", "+g.oma.pusheventapp=mms.ua", "the device's REGISTER", "text/plain"):
        expect(body).to_contain_text(words)
    expect(page.locator("section", has_text="Waiting for the user").get_by_text("held").first).to_be_visible()
    picture(page, "user")


def test_who_operates_takes_a_push_back(page: Page, console: Console, front: Stack) -> None:
    ref = front.submit("sip:dave@home1.example", push_id="back@provider.example", app="held.ua")
    enter(page, console, "olga")
    page.on("dialog", lambda question: question.accept())
    page.goto(f"/console/push?ref={ref}")
    page.get_by_role("button", name="Cancel push").click()
    expect(page.locator("#push-state")).to_have_text("cancelled")
    expect(page.locator(".ladder")).to_contain_text("by operator olga")
    assert front.known(ref).results[0].state == "cancelled"


def test_who_operates_sends_a_test_push_and_sees_it_arrive(
    page: Page, console: Console, core: SipPeer
) -> None:
    enter(page, console, "olga")
    page.goto("/console/send")
    page.get_by_label("To", exact=True).fill("mailto:nobody")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("To", exact=True).fill("sip:erin@home1.example")
    page.locator("textarea").fill("tried at night")
    picture(page, "send")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#push-state")).to_have_text("delivered")
    assert core.wait_for_push("sip:erin@home1.example")[0].body == b"tried at night"


def test_a_push_to_subscribers_is_paused_resumed_and_aborted(
    page: Page, console: Console, front: Stack
) -> None:
    ref = fan_out(front)
    enter(page, console, "olga")
    page.on("dialog", lambda question: question.accept())
    page.goto(f"/console/push?ref={ref}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#push-state")).to_have_text("paused")
    page.goto("/console/fan-outs")
    row = page.locator("tr", has=page.locator(f"#job-{ref}"))
    expect(row).to_contain_text("paused")
    picture(page, "fan-outs")
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("running")
    row.get_by_role("button", name="Abort").click()
    expect(row).to_have_count(0)
    page.goto(f"/console/push?ref={ref}")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    for words in ("paused", "resumed", "aborted"):
        expect(page.locator(".ladder")).to_contain_text(f"{words} by operator olga")


def fan_out(front: Stack) -> str:
    """A push to all subscribers of an application that nobody subscribes to, which waits to be begun."""
    later = clock.iso(clock.now_ms() + 600_000)
    body = {"subscribers": True, "application": "fan.ua", "content_type": "text/plain", "content": "all"}
    answer = httpx.post(
        f"{front.http}/v1/pushes",
        json={**body, "deliver_after": later},
        auth=("trusted", PASSWORD),
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ref"])


def test_an_alarm_that_stands_is_shown_with_what_to_do(page: Page, console: Console, front: Stack) -> None:
    alarm = at_sight("next-hop-down", "192.0.2.66:5060 answered nothing to 5 pushes", clock.now_ms())
    field = f"{alarm.name}|192.0.2.66:5060"
    stored = codec.encode(alarm._replace(subject="192.0.2.66:5060"))
    ask_all(front.store, "alarm", [("HSET", keys.ALARM_STANDING, field, stored)])
    enter(page, console, "vera")
    page.goto("/console/alarms")
    row = page.locator("tr", has_text="192.0.2.66:5060").first
    expect(row).to_contain_text("core.addresses")
    picture(page, "alarms")
    page.goto("/console/")
    expect(page.locator("#alarms")).to_contain_text("next-hop-down")
    ask_all(front.store, "alarm", [("HDEL", keys.ALARM_STANDING, field)])
    expect(page.locator("#alarms")).not_to_contain_text("next-hop-down")


def test_a_node_is_drained_and_serves_again(page: Page, console: Console, front: Stack) -> None:
    enter(page, console, "olga")
    page.on("dialog", lambda question: question.accept())
    page.goto("/console/nodes")
    picture(page, "nodes")
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_role("button", name="Serve again")).to_be_visible()
    assert nodes.look(front.store, nodes.live(front.store)[0].node)[0].drain_ms
    page.get_by_role("button", name="Serve again").click()
    expect(page.get_by_role("button", name="Drain")).to_be_visible()
    expect(page.locator("header .chip")).to_have_text("serving")


LANES_CUT = """
() => [...document.querySelectorAll(".ladder .lanes text")].filter(name => {
  const own = name.getBoundingClientRect(), all = name.ownerSVGElement.getBoundingClientRect()
  return own.left < all.left - 1 || own.right > all.right + 1
}).map(name => name.textContent)
"""
"Names above a ladder that do not fit into the picture, which a phone cuts at its edge."


def test_the_names_above_a_ladder_fit_on_a_phone(new_page: Any, console: Console, front: Stack) -> None:
    page = new_page(**PHONE)
    enter(page, console, "vera")
    page.goto(f"/console/push?ref={front.submit('sip:frank@home1.example', app='held.ua')}")
    expect(page.locator(".ladder .lanes")).to_be_visible()

    assert page.evaluate(LANES_CUT) == []


@pytest.mark.parametrize(
    ("name", "options", "sections"),
    [
        ("dark", {"color_scheme": "dark"}, ("/",)),
        ("phone", PHONE, ("/pushes",)),
        pytest.param("day", {}, SECTIONS, marks=pytest.mark.long),
        pytest.param("dark", {"color_scheme": "dark"}, SECTIONS, marks=pytest.mark.long),
        pytest.param("phone", PHONE, SECTIONS, marks=pytest.mark.long),
    ],
    ids=["dark", "phone", "all by day", "all dark", "all on a phone"],
)
def test_every_page_is_made_for_the_day_the_night_and_a_phone(
    new_page: Any,
    console: Console,
    front: Stack,
    name: str,
    options: dict[str, Any],
    sections: tuple[str, ...],
) -> None:
    page = new_page(**options)
    enter(page, console, "olga")
    ref = front.submit("sip:frank@home1.example", app="held.ua")
    more = (f"/push?ref={ref}", "/user?aor=sip:carol@home1.example") if len(sections) > 1 else ()
    for path in (*sections, *more):
        page.goto(f"/console{path}")
        expect(page.locator("h1")).to_be_visible()
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{path} is {wider} pixels too wide"
        picture(page, f"{path.strip('/').partition('?')[0] or 'now'}-{name}")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall("[0-9]+", ground))) < 150) == (name == "dark")


@pytest.mark.long
def test_now_says_that_redis_is_away_and_goes_on_by_itself(
    page: Page, console: Console, front: Stack
) -> None:
    enter(page, console, "vera")
    page.goto("/console/")
    expect(page.locator("#rates")).to_contain_text("Accepted")
    front.kill("redis")
    expect(page.locator("#rates").get_by_role("alert")).to_contain_text("Redis did not answer")
    front.start("redis")
    expect(page.locator("#rates").get_by_role("alert")).to_have_count(0)
