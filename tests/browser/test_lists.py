"""Long pages of the console, without a browser: recipients, pushes, one recipient's part of a ladder."""

import re

from tests.browser.conftest import Console
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Stack

NOT_TAKEN = Says(415, "Unsupported Media Type")


def test_many_recipients_are_shown_page_by_page_and_each_with_its_own_ladder(
    console: Console, front: Stack, core: SipPeer
) -> None:
    ref = front.submit([f"sip:many{number}@home1.example" for number in range(30)])
    front.finished(ref)
    with console.client("vera") as vera:
        first = vera.get(f"/console/push?ref={ref}").text
        second = vera.get(f"/console/push?ref={ref}&after=25").text
        one = vera.get(f"/console/push?ref={ref}&recipient=7").text

    assert "1 to 25 of 30" in first
    assert "26 to 30 of 30" in second
    assert ("sip:many24@" in first, "sip:many25@" in first) == (True, False)
    assert "sip:many25@" in second
    assert re.findall(r"<b>sent \[([0-9]+)\]", one) == ["7"]
    assert "<b>accepted</b>" in one


def test_a_refusal_stands_in_the_ladder_with_its_code(console: Console, front: Stack, core: SipPeer) -> None:
    ordinary = core.policy
    core.policy = lambda request: NOT_TAKEN if "picky" in request.start_line else ordinary(request)
    try:
        ref = front.submit("sip:picky@home1.example")
        front.finished(ref)
    finally:
        core.policy = ordinary
    with console.client("vera") as vera:
        page = vera.get(f"/console/push?ref={ref}").text

    assert '<span class="chip bad" id="push-state">' in page
    assert re.search(r'<svg class="bad".*?>415</text>', page, re.DOTALL)
    assert "415 Unsupported Media Type" in page


def test_older_pushes_follow_page_by_page_without_a_gap(
    console: Console, front: Stack, core: SipPeer
) -> None:
    refs = [front.submit("sip:listed@home1.example", push_id=f"list{number}@a") for number in range(60)]
    for ref in refs:
        front.finished(ref)
    found: list[str] = []
    path = "/console/pushes?user=sip:listed@home1.example"
    with console.client("vera") as vera:
        while path:
            page = vera.get(path).text
            found += re.findall(r'id="push-([0-9a-f]{20})"', page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            path = older[1].replace("&amp;", "&") if older else ""

    assert sorted(found) == sorted(refs)
    accepted = [front.known(ref).push.accepted_ms for ref in found]
    assert accepted == sorted(accepted, reverse=True)


def test_a_tel_identity_shows_the_user_that_it_belongs_to(console: Console, front: Stack) -> None:
    with console.client("vera") as vera:
        found = vera.get("/console/find", params={"q": "tel:+15550100"})
        assert found.status_code == 303
        page = vera.get(found.headers["location"])
    assert (page.status_code, "tel:+15550100" in page.text) == (200, True)
