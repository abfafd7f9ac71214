"""`/v1/registrations/{aor}`: whether a user can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from omapush import clock
from omapush.protocol.third_party_register import EmbeddedContact
from omapush.push.registration import Report
from omapush.store import registrations
from tests.harness.stack import PASSWORD, Stack


@pytest.fixture
def narrow(front: Stack) -> Iterator[httpx.Client]:
    """A content provider for mms.* and users of home1.example."""
    with httpx.Client(base_url=front.http, auth=("narrow", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def aor(front: Stack, push_id: str) -> str:
    """A user who is registered with two applications."""
    aor = f"sip:reg{push_id.partition('@')[0]}@home1.example"
    contact = EmbeddedContact("sip:192.0.2.7", 600, None, ("mms.ua", "ulp.ua"), (), None, None)
    registrations.capture(
        front.store,
        [
            Report(
                aor=aor,
                expires_s=600,
                s_cscf="sip:scscf.home1.example",
                path="",
                contacts=(contact,),
                all_contacts=False,
                source="register",
                associated=(),
                charging="",
                service_info="",
                at_ms=clock.now_ms(),
                problems=(),
            )
        ],
    )
    return aor


def test_a_registered_user_is_shown_with_the_initiator_s_applications(narrow: httpx.Client, aor: str) -> None:
    shown = narrow.get(f"/v1/registrations/{aor}")

    assert shown.status_code == 200
    assert (shown.json()["aor"], shown.json()["registered"]) == (aor, True)
    assert shown.json()["applications"] == ["mms.ua"]
    assert "192.0.2.7" not in shown.text
    assert "scscf" not in shown.text


def test_the_address_may_be_escaped_and_in_any_form_that_pushes_take(narrow: httpx.Client, aor: str) -> None:
    wappush = f"WAPPUSH={quote(aor.removeprefix('sip:'), safe='')}/TYPE=USER@ppg.home1.example"

    for form in (quote(aor, safe=""), quote(wappush, safe=""), aor.replace("home1", "HOME1")):
        assert narrow.get(f"/v1/registrations/{form}").json()["aor"] == aor


@pytest.mark.req("SEC-2")
def test_who_may_not_be_pushed_to_may_not_be_asked_about(narrow: httpx.Client) -> None:
    answer = narrow.get("/v1/registrations/sip:alice@elsewhere.example")

    assert (answer.status_code, answer.json()["field"]) == (403, "aor")


@pytest.mark.parametrize(
    ("aor", "status"), [("sip:never@home1.example", 404), ("nonsense", 400), ("%ff", 400)]
)
def test_a_user_who_is_not_known_or_cannot_be(narrow: httpx.Client, aor: str, status: int) -> None:
    answer = narrow.get(f"/v1/registrations/{aor}")

    assert (answer.status_code, answer.json()["field"]) == (status, "aor")
