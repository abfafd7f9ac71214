"""Rules about who may push what to whom, in a running installation and by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from omapush.protocol.name_addr import parse_one
from omapush.protocol.push_mo import PUSH_MO_TYPE
from omapush.receiver.device_policy import whitelist_of
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.http.test_json import body, finished

KID, ADULT = "sip:kid@school.example", "sip:adult@home1.example"
RULES: Settings = {
    "policy.school-news": {"effect": "allow", "layer": "recipient", "applications": ["news.ua"]},
    "policy.school": {"effect": "deny", "layer": "recipient", "recipients": ["sip:*@school.example"]},
}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("ruled")
    (folder / "links.key").write_text("the key of the links of tests\n")
    with Stack(folder, {**RULES, "device_document": {"key_file": str(folder / "links.key")}}) as running:
        yield running


@pytest.fixture
def peer(ruled: Stack) -> Iterator[SipPeer]:
    with SipPeer(ruled.core_port) as core:
        yield core


@pytest.fixture
def api(ruled: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=ruled.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as one:
        yield one


def test_only_who_may_gets_the_push(api: httpx.Client, peer: SipPeer) -> None:
    api.post("/v1/pushes", json=body("some@pi", to=[KID, ADULT]))

    kid, adult = finished(api, "some@pi")["recipients"]
    assert (kid["state"], kid["code"], adult["state"]) == ("undeliverable", "2001", "delivered")
    assert kid["desc"] == "denied by rule school of the recipient layer"
    assert peer.pushes(KID) == []


def test_a_push_that_nobody_may_get_is_refused_and_one_that_is_allowed_first_is_not(
    api: httpx.Client, peer: SipPeer
) -> None:
    refused = api.post("/v1/pushes", json=body("none@pi", to=[KID]))
    taken = api.post("/v1/pushes", json=body("news@pi", to=[KID], application="news.ua"))

    assert refused.status_code == 403
    assert "rule school" in refused.json()["detail"]
    assert taken.status_code == 201
    finished(api, "news@pi")
    assert len(peer.pushes(KID)) == 1


def test_of_all_subscribers_only_those_get_it_who_may(ruled: Stack, api: httpx.Client, peer: SipPeer) -> None:
    devices = [Subscriber(ruled, peer, aor=aor) for aor in (KID, ADULT)]
    for device in devices:
        device.begin(**wants("mms.ua"))
        device.settle()

    assert api.post("/v1/pushes", json=body("all@pi", to=None, subscribers=True)).status_code == 201

    wait_until(lambda: api.get("/v1/pushes/all@pi").json()["state"] == "finished", 20, "its end")
    assert api.get("/v1/pushes/all@pi").json()["counts"] == {"delivered": 1, "undeliverable": 1}
    assert [
        one.body for one in peer.requests if one.method == "NOTIFY" and one.body and KID in one.header("To")
    ] == []


def test_the_command_says_what_rules_do_and_what_others_would_have_done(
    ruled: Stack, api: httpx.Client, peer: SipPeer, tmp_path: Path
) -> None:
    api.post("/v1/pushes", json=body("replayed@pi", to=[KID, ADULT]))
    finished(api, "replayed@pi")
    asked = ("policy", "test", "--initiator", "trusted", "--app", "mms.ua", "--to")
    proposed = tmp_path / "proposed.toml"
    proposed.write_text('[policy.nobody-at-home]\neffect = "deny"\nrecipients = ["sip:*@home1.example"]\n')

    denied, allowed = omapush(ruled, *asked, KID), omapush(ruled, *asked, ADULT)
    replayed = json.loads(omapush(ruled, "policy", "replay", "--proposed", proposed, "--json").stdout)

    assert (denied.returncode, allowed.returncode) == (1, 0)
    assert "recipient    school" in denied.stdout
    assert (
        omapush(ruled, *asked, KID.replace("school", "SCHOOL")).stdout == omapush(ruled, *asked, KID).stdout
    )
    stranger = omapush(ruled, *(word.replace("trusted", "stranger") for word in asked), ADULT)
    assert (stranger.returncode, "known are trusted" in stranger.stderr) == (1, True)
    ours = {one["recipient"]: one for one in replayed["changes"] if one["push"] == "replayed@pi"}
    assert (ours[KID]["change"], ours[KID]["rule"]) == ("newly allowed", "school")
    assert (ours[ADULT]["change"], ours[ADULT]["rule"]) == ("newly denied", "nobody-at-home")


@pytest.mark.req("SEC-13")
def test_a_device_that_fetched_its_document_takes_what_the_rules_let_through(
    ruled: Stack, api: httpx.Client, peer: SipPeer
) -> None:
    """Both ends agree: what is pushed comes, and the device alone would refuse what the rules deny."""
    link = omapush(ruled, "policy", "device-document", KID, "--link").stdout.strip()
    written = omapush(ruled, "policy", "device-document", KID).stdout.encode()
    served = httpx.get(link, trust_env=False)

    assert (served.status_code, served.content) == (200, written)
    assert served.headers["content-type"].startswith(PUSH_MO_TYPE)
    again = httpx.get(link, headers={"If-None-Match": served.headers["etag"]}, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")
    for wrong in (link[:-1], link[:-4] + "AAAA", ruled.http + "/device-documents/x"):
        assert httpx.get(wrong, trust_env=False).status_code == 404

    api.post("/v1/pushes", json=body("obeyed@pi", to=[KID], application="news.ua"))
    finished(api, "obeyed@pi")
    pushed = peer.pushes(KID)[-1]
    asserted = parse_one(pushed.header("P-Asserted-Identity"), "P-Asserted-Identity").uri
    obeyed = whitelist_of(served.content)
    assert obeyed.why_not((asserted,), "news.ua", "text/plain") == ""
    assert obeyed.why_not((asserted,), "mms.ua", "text/plain") != ""
    assert obeyed.why_not(("sip:stranger@x.example",), "news.ua") != ""


def test_a_rule_without_effect_or_with_a_wrong_zone_stops_the_start(ruled: Stack, tmp_path: Path) -> None:
    for text, named in (
        ('[policy.x]\nlayer = "operator"\n', "effect"),
        ('[policy.x]\neffect = "deny"\nhours = { start = "1:00", end = "02:00" }\n', "hours"),
        ('[policy.x]\neffect = "deny"\nhours = { start = "01:00", end = "02:00", zone = "Mars" }\n', "zone"),
    ):
        file = tmp_path / "wrong.toml"
        file.write_text(text)
        checked = omapush(ruled, "--config", file, "config", "check")
        assert checked.returncode == 1
        assert named in checked.stderr
