"""What a provider writes never becomes a SIP header: line ends in every coding, in every place of a push."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from tests.fakes.initiator import BOUNDARY, DOCUMENT, PushInitiator, user_address
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

POISONS: Final = {
    "CR LF": "\r\n",
    "LF": "\n",
    "CR": "\r",
    "NUL": "\0",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "next line": "\u0085",
    "vertical tab": "\v",
    "escaped": "%0d%0a",
    "fullwidth": "\uff0d\uff0a",
}
RAW_POISONS: Final = {
    "overlong CR LF": b"\xc0\x8d\xc0\x8a",
    "longer still": b"\xe0\x80\x8d\xe0\x80\x8a",
    "UTF-7": b"+AA0ACg-",
    "surrogate": b"\xed\xa0\x8d",
    "bare CR LF": b"\r\n",
}
EVIL: Final = "Evil: 1"
TO: Final = "sip:injected@home1.example"


@pytest.fixture
def api(front: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as one:
        yield one


def ended(api: httpx.Client, accepted: list[str]) -> None:
    """Wait until each push that was taken has come to its end."""
    left = {f"/v1/pushes/{quote(push_id, safe='')}" for push_id in accepted}

    def none_left() -> bool:
        left.difference_update([path for path in left if api.get(path).json()["state"] == "finished"])
        return not left

    wait_until(none_left, 30, lambda: f"ends of {left}")


def expect_no_evil(core: SipPeer) -> None:
    for one in core.requests:
        head = one.raw.partition(b"\r\n\r\n")[0]
        assert SipText.parse(one.raw).header("Evil") == "", head
        names = [line.partition(b":")[0].strip().lower() for line in head.replace(b"\r", b"\n").split(b"\n")]
        assert b"evil" not in names, head
        assert b"\0" not in head, head


@pytest.mark.req("SEC-2")
def test_line_ends_in_any_member_of_the_json_interface_reach_no_header(
    api: httpx.Client, core: SipPeer
) -> None:
    places: dict[str, Any] = {
        "to": lambda text: {"to": [f"{TO.partition('@')[0]}{text}@home1.example"]},
        "application": lambda text: {"application": f"mms.ua{text}"},
        "content_type": lambda text: {"content_type": f"text/plain{text}"},
        "parameter": lambda text: {"content_type": f'text/plain;name="a{text}"'},
        "header": lambda text: {"content_headers": {"Content-Language": f"de{text}"}},
        "disposition": lambda text: {"content_headers": {"Content-Disposition": f'render;name="{text}"'}},
        "header name": lambda text: {"content_headers": {f"X-Wap-A{text}": "x"}},
        "push_id": lambda text: {"push_id": f"json{text}@pi"},
        "notify_url": lambda text: {"notify_url": f"http://127.0.0.1:9/{text}"},
        "replace_key": lambda text: {"replace_key": f"k{text}"},
    }
    accepted = []
    for place, member in places.items():
        for name, poison in POISONS.items():
            body = {"to": [TO], "application": "mms.ua", "content_type": "text/plain", "content": "x"}
            body |= {"push_id": f"{place}.{name}@pi"} | member(f"{poison}{EVIL}{poison}")
            answer = api.post("/v1/pushes", json=body)
            assert answer.status_code in (201, 400, 422), (place, name, answer.text)
            accepted += [answer.json()["push_id"]] if answer.status_code == 201 else []
    assert accepted, "nothing was taken, so nothing is proven"
    ended(api, accepted)
    assert core.requests
    expect_no_evil(core)


@pytest.mark.req("SEC-2")
def test_line_ends_in_any_attribute_of_pap_reach_no_header(
    api: httpx.Client, initiator: PushInitiator, core: SipPeer
) -> None:
    places = ("push-id", "source-reference", "ppg-notify-requested-to", "address", "X-Wap-Content-URI")
    accepted = []
    poisons = {name: "".join(f"&#{ord(char)};" for char in text) for name, text in POISONS.items()}
    poisons |= {f"as it is: {name}": text for name, text in POISONS.items()}
    raw = {name: text.encode() for name, text in poisons.items()} | RAW_POISONS
    for place in places:
        for number, poison in enumerate(raw.values()):
            attributes = {"push-id": f"{place}.{number}@pi"}
            address = user_address(TO)
            injected = "INJECTED" + EVIL.replace(" ", "") + "INJECTED"
            if place == "address":
                address = address.replace("injected", f"injected{injected}")
            elif place != "X-Wap-Content-URI":
                attributes[place] = attributes.get(place, "http://127.0.0.1:9/") + injected
            operation = "".join(f' {key}="{value}"' for key, value in attributes.items())
            document = DOCUMENT.format(
                operation=f'<push-message{operation}><address address-value="{address}"/></push-message>'
            )
            header = f"X-Wap-Content-URI: http://c/{injected if place.startswith('X') else ''}\r\n"
            body = (
                f"--{BOUNDARY}\r\nContent-Type: application/xml\r\n\r\n{document}\r\n--{BOUNDARY}\r\n"
                f"Content-Type: text/plain\r\n{header}\r\nx\r\n--{BOUNDARY}--\r\n"
            )
            kind = f'multipart/related; boundary={BOUNDARY}; type="application/xml"'
            answer = initiator.post(body.encode().replace(b"INJECTED", poison), kind)
            assert answer.http_status in (202, 400), (place, poison, answer)
            accepted += [answer.find("push-response").get("push-id", "")] if answer.code == "1001" else []
    assert accepted, "nothing was taken, so nothing is proven"
    ended(api, accepted)
    assert core.requests
    expect_no_evil(core)
