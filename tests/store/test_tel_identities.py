"""
A telephone number is its user by every way of asking.

Pushes to a number go to the sip identity that a registration told, so that is where all is kept.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from omapush import clock
from omapush.cli import main as command
from omapush.pap_http.app import create
from omapush.push.capabilities import Facts
from omapush.push.registration import Contact, Registration
from omapush.push.values import Recipient
from omapush.store import capabilities, codec, handing_over, keys, pushes, traces, user_pushes
from omapush.store.client import Store
from omapush.store.own_pushes import Summary
from omapush.views import push_search
from omapush.views.push_search import Wanted
from tests.harness.stack import PASSWORD, Stack
from tests.store.conftest import Make

TEL, SIP = "tel:+358401234567", "sip:alice@home1.example"
PLMN = "WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example"
CCQ = f'<pap><ccq-message query-id="q"><address address-value="{PLMN}"/></ccq-message></pap>'


@pytest.fixture
def known(store: Store) -> Store:
    """A registered user, with a number and a device that takes text."""
    now_ms = clock.now_ms()
    until_ms, shard = now_ms + 600_000, store.layout.user_shard
    contact = Contact("sip:192.0.2.7", until_ms, ("mms.ua",), (), "urn:uuid:a", "", None, "register", now_ms)
    record = Registration(1, SIP, "sip:scscf", "", until_ms, (contact,), (TEL,), "", "", 0, now_ms)
    store.db.set(keys.registration(shard(SIP), SIP), codec.encode(record))
    store.db.set(keys.alias(shard(TEL), TEL), SIP)
    told = Facts("urn:uuid:a", "presence", now_ms, until_ms, types=("text/plain",))
    capabilities.learn(store, {SIP: [told]}, now_ms)
    return store


def asked(stack: Stack, method: str, path: str, **request: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create(stack.config))  # type: ignore[arg-type]
        auth = ("trusted", PASSWORD)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example", auth=auth) as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


def pushed(store: Store, make: Make, aor: str, address: str) -> str:
    """The reference of a push to an address that meant `aor` when it was accepted."""
    one = make.submission(aor)
    one = one._replace(
        push=one.push._replace(initiator="trusted", accepted_ms=clock.now_ms()),
        recipients=(Recipient(address, aor),),
    )
    assert pushes.accept_all(store, [one]) == [True]
    handing_over.fresh(store, [one], now_ms=clock.now_ms(), retention_s=600)
    return one.push.ref


def test_a_provider_that_asks_by_number_learns_what_is_known(redis_only: Stack, known: Store) -> None:
    shown = asked(redis_only, "GET", f"/v1/registrations/{TEL}")
    queried = asked(redis_only, "POST", "/pap", content=CCQ, headers={"Content-Type": "application/xml"})

    assert (shown.status_code, shown.json()["registered"]) == (200, True)
    assert shown.json()["applications"] == ["mms.ua"]
    assert b'code="1000"' in queried.content
    assert b"text/plain" in queried.content


def test_what_a_push_to_a_number_assumes_is_compared_with_the_devices(
    redis_only: Stack, known: Store
) -> None:
    control = f'<pap><push-message push-id="assumes"><address address-value="{PLMN}"/></push-message></pap>'
    part = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:prf="urn:p#">'
        '<rdf:Description rdf:ID="a"><prf:component><rdf:Description rdf:ID="PushCharacteristics">'
        "<prf:Push-Accept><rdf:Bag><rdf:li>image/png</rdf:li></rdf:Bag></prf:Push-Accept>"
        "</rdf:Description></prf:component></rdf:Description></rdf:RDF>"
    )
    kinds = ("application/xml", "image/png", "application/xml")
    parts = zip(kinds, (control, "x", part), strict=True)
    body = "".join(f"--b1\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts) + "--b1--\r\n"

    headers = {"Content-Type": "multipart/related; boundary=b1"}
    answer = asked(redis_only, "POST", "/pap", content=body.encode(), headers=headers)

    assert b'code="2005"' in answer.content or b'code="2006"' in answer.content, answer.text


def test_pushes_are_found_by_number_whatever_it_meant_when_they_came(
    redis_only: Stack, known: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = {pushed(known, make, TEL, PLMN), pushed(known, make, SIP, PLMN), pushed(known, make, SIP, SIP)}
    pushed(known, make, "sip:bob@home1.example", "sip:bob@home1.example")

    def found(recipient: str) -> list[Summary]:
        return push_search.search(known, ["trusted"], Wanted(recipient=recipient), None, 10).pushes

    assert {one.push.ref for one in found(TEL)} == refs
    assert all(push_search.result_in(known, one, TEL) for one in found(TEL))
    listed = asked(redis_only, "GET", "/v1/pushes", params={"recipient": PLMN}).json()["pushes"]
    assert {one["ref"] for one in listed} == refs
    monkeypatch.setattr(user_pushes, "MOST", 2)  # a list that is full says nothing about older ones
    assert {one.push.ref for one in found(TEL)} == refs


@pytest.mark.parametrize("words", [("registrations",), ("capabilities",), ("push", "list", "--user")])
def test_commands_take_the_number(
    redis_only: Stack,
    known: Store,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    pushed(known, make, SIP, PLMN)
    config = str(redis_only.config_file)
    monkeypatch.setattr("sys.argv", ["omapush", "--config", config, *words, TEL, "--json"])

    with pytest.raises(SystemExit) as ended:
        command.main()

    assert ended.value.code in (0, None)
    said = json.loads(capsys.readouterr().out)
    assert said[0]["push_id"] if words[0] == "push" else said["aor"] == SIP


def test_a_user_who_is_traced_by_number_is_traced_as_who_the_pushes_go_to(
    redis_only: Stack, known: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(redis_only.config_file)
    monkeypatch.setattr("sys.argv", ["omapush", "--config", config, "trace", "on", "--user", TEL])

    with pytest.raises(SystemExit):
        command.main()

    switched = {one.name for one in traces.switches(known, clock.now_ms())}
    assert {traces.user_switch(TEL), traces.user_switch(SIP)} <= switched
