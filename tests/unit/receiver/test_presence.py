"""Push capabilities as presence (PUBLISH) and as UAProf document."""

import asyncio

import httpx
import pytest

from omapush.protocol import pidf, uaprof
from omapush.receiver import profile_server
from omapush.receiver.profile_server import ProfileServer
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import Says
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, grant, registered, requests, wait_for


@pytest.mark.req("SIPPUSH-PRA-C-002", "PRA-GEN-3")
def test_the_capabilities_are_published_refreshed_and_taken_away() -> None:
    def policy(one: SipText) -> Says | None:
        if one.method != "PUBLISH":
            return grant(one)
        return Says(
            200, "OK", {"Expires": "1", "SIP-ETag": f"e{len(one.body)}-{one.header('CSeq').split()[0]}"}
        )

    accept = {"mms.ua": ("text/plain", "image/*")}
    with registered(policy, apps=("mms.ua", "ulp.ua"), accept=accept, publish=True) as (peer, _):
        first, second = wait_for(peer, "PUBLISH", 1), wait_for(peer, "PUBLISH", 2)
        assert first.start_line == f"PUBLISH {ALICE} SIP/2.0"
        assert (first.header("Event"), first.header("Content-Type")) == ("presence", pidf.PIDF_TYPE)
        assert first.header("SIP-If-Match") == ""
        mms, ulp = pidf.read(first.body)
        assert (mms.service_id, mms.types, mms.open) == ("omapush:mms.ua", ("text/plain", "image/*"), True)
        assert mms.methods == ("MESSAGE", "NOTIFY", "REFER", "INVITE")
        assert (ulp.service_id, ulp.types) == ("omapush:ulp.ua", ("*/*",))
        assert mms.device.startswith("urn:uuid:")
        assert second.body == b""
        assert second.header("SIP-If-Match").startswith("e")
        assert second.header("SIP-If-Match").endswith("-1")
    last = requests(peer, "PUBLISH")[-1]
    assert last.header("Expires") == "0"
    assert last.header("SIP-If-Match")


def test_a_server_that_forgot_gets_the_document_again() -> None:
    def policy(one: SipText) -> Says | None:
        if one.method != "PUBLISH":
            return grant(one)
        if one.header("SIP-If-Match") == "old":
            return Says(412, "Conditional Request Failed")
        return Says(200, "OK", {"Expires": "1", "SIP-ETag": "old"})

    with registered(policy, publish=True) as (peer, _):
        third = wait_for(peer, "PUBLISH", 3)
        assert [bool(one.body) for one in requests(peer, "PUBLISH")[:3]] == [True, False, True]
        assert third.header("SIP-If-Match") == ""


def test_a_server_that_wants_it_longer_is_obeyed() -> None:
    def policy(one: SipText) -> Says | None:
        brief = one.method == "PUBLISH" and one.header("Expires") == "3600"
        return Says(423, "Brief", {"Min-Expires": "7200"}) if brief else grant(one)

    with registered(policy, publish=True) as (peer, _):
        assert wait_for(peer, "PUBLISH", 2).header("Expires") == "7200"


def test_a_core_without_presence_is_left_alone() -> None:
    with registered(lambda one: Says(405, "No") if one.method == "PUBLISH" else grant(one), publish=True) as (
        peer,
        device,
    ):
        assert "405" in str(device.wait_for("publication_failed")["reason"])
        wait_until(lambda: "405" in device.receiver.publication.refused, 5, "the reason")
        assert len(requests(peer, "PUBLISH")) == 1


def test_a_presence_document_is_read_back_as_it_was_written() -> None:
    service = pidf.Service(
        "a&b", False, "sip:a@x.example;x=<1>", "urn:uuid:1", "id", ("a/b", "c/*"), ("d/e",), ("MESSAGE",)
    )
    silent = pidf.Service("s", True, "", "", "", None, (), None)

    assert pidf.read(pidf.write("sip:a@x.example", [service, silent])) == (service, silent)


@pytest.mark.req("SIPPUSH-PRA-C-003", "PROP-CAP-4")
def test_the_profile_says_what_the_device_takes_and_is_served() -> None:
    document = profile_server.document(
        {"mms.ua": ("image/png",), "ulp.ua": ("text/plain", "image/png")}, 5000
    )
    known = uaprof.read(document)
    assert known.types == ("image/png", "text/plain")
    assert known.applications == ("x-wap-application:mms.ua", "x-oma-application:ulp.ua")
    assert (known.encodings, known.largest_bytes) == (("gzip", "deflate"), 5000)

    async def fetch() -> list[httpx.Response]:
        async with (
            ProfileServer(document, host="127.0.0.1", port=0) as url,
            httpx.AsyncClient(trust_env=False) as web,
        ):
            return [
                await web.get(url), await web.head(url), await web.get(url + "x"), await web.post(url),
            ]  # fmt: skip

    got, head, missing, posted = asyncio.run(fetch())
    assert (got.status_code, got.content) == (200, document)
    assert got.headers["content-type"] == uaprof.UAPROF_TYPE
    assert (head.status_code, head.content) == (200, b"")
    assert (missing.status_code, posted.status_code) == (404, 405)


def test_what_is_no_http_does_not_hurt_the_profile_server() -> None:
    async def talk() -> int:
        async with ProfileServer(b"x", host="127.0.0.1", port=0) as url:
            port = int(url.rpartition(":")[2].partition("/")[0])
            for junk in (b"\0" * 20_000, b"GET\r\n\r\n", b""):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(junk)
                writer.write_eof()
                await reader.read()
                writer.close()
            async with httpx.AsyncClient(trust_env=False) as web:
                return (await web.get(url)).status_code

    assert asyncio.run(talk()) == 200
