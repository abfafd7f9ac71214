"""What the PAP service says to documents that it cannot read; the rest needs Redis (tests/http)."""

from __future__ import annotations

import asyncio

import pytest

from omapush.config import parse
from omapush.pap_http.pap_service import PapService
from omapush.push.account import Account

DOCTYPE = '<!DOCTYPE pap PUBLIC "-//{}//DTD PAP {}//EN" "http://www.wapforum.org/DTD/pap.dtd">'


def answered(document: str) -> str:
    service = PapService(parse({}, "omapush.toml"), None, None)  # type: ignore[arg-type]
    account = Account("pi", ("*",), ("*",))
    found = asyncio.run(service.answer(account, "application/xml", document.encode()))
    assert (found.operation, found.code) in (("bad-message", "2000"), ("bad-message", "3002"))
    return found.body.decode()


@pytest.mark.parametrize(
    ("owner", "asked", "told"),
    [
        ("WAPFORUM", "1.0", "1.0"),
        ("WAPFORUM", "2.0", "2.0"),
        ("OMA", "2.2", "2.2"),
        ("WAPFORUM", "3.0", "2.1"),
    ],
)
@pytest.mark.parametrize("inside", ["<pap/>", "<pap>", '<pap><cancel-message push-id=""/></pap>'])
def test_a_bad_message_is_answered_in_the_version_of_its_doctype(
    owner: str, asked: str, told: str, inside: str
) -> None:
    assert f"DTD PAP {told}//EN" in answered(DOCTYPE.format(owner, asked) + inside)


def test_a_request_that_is_none_is_answered_in_a_version_that_its_sender_reads() -> None:
    said = answered(
        DOCTYPE.format("WAPFORUM", "1.0")
        + '<pap><push-response push-id="a"><response-result code="1000"/></push-response></pap>'
    )

    assert "DTD PAP 1.0//EN" in said


def test_a_document_without_a_doctype_is_answered_in_the_usual_version() -> None:
    assert "DTD PAP 2.1//EN" in answered("nonsense")
