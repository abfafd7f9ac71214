"""REGISTERs on their way to the process that reads them: what Kamailio writes is what Python reads."""

import base64
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.registrar import ThirdPartyRegister

ROOT = Path(__file__).resolve().parents[2]
WRITTEN_BY_KAMAILIO = {
    "to": "$tu",
    "from_uri": "$fu",
    "contact": "$hdr(Contact)",
    "expires": "$hdr(Expires)",
    "path": "$(hdr(Path)[*])",
    "associated": "$(hdr(P-Associated-URI)[*])",
    "charging_vector": "$hdr(P-Charging-Vector)",
    "charging_functions": "$(hdr(P-Charging-Function-Addresses)[*])",
    "content_type": "$hdr(Content-Type)",
    "body": "$rb",
}
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=40)


@pytest.fixture(scope="module")
def registering() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
        for name in [file.stem for file in (ROOT / "kemi").glob("*.py")]:
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module("registering")


def test_kamailio_writes_the_values_in_the_order_in_which_they_are_read() -> None:
    configuration = (ROOT / "kamailio.cfg").read_text()
    call = configuration.partition('mq_add("registers$var(queue)"')[2].partition(");")[0]
    written = "".join(re.findall(r'"(.*)"', call)[1:])

    assert list(ThirdPartyRegister._fields) == list(WRITTEN_BY_KAMAILIO)
    assert written.split(r"\n\n") == ["$si", "$cl", *WRITTEN_BY_KAMAILIO.values()]


@given(values=st.lists(VALUES, min_size=9, max_size=9), body=st.binary(max_size=200))
def test_what_a_worker_hands_over_comes_out_as_it_was(
    registering: ModuleType, values: list[str], body: bytes
) -> None:
    make: Any = ThirdPartyRegister
    sent = make(*values, body)

    assert registering.unpack(registering._pack(sent)) == ("", sent)


def test_what_stands_behind_the_body_is_none_of_it(registering: ModuleType) -> None:
    peer, register = registering.unpack(
        "\n\n".join(["192.0.2.1", "5", "sip:a@b", *[""] * 8, "b\u00f6dybehind\n\nit"])
    )

    assert (peer, register.to, register.body) == ("192.0.2.1", "sip:a@b", "b\u00f6dy".encode())


def test_what_kamailio_writes_for_a_header_that_is_not_there_is_none(registering: ModuleType) -> None:
    values = ["192.0.2.1", "6", "sip:a@b", *["<null>"] * 8, "<null>"]
    octets = "=" + base64.b64encode("\n\n".join(values).encode()).decode()

    for queued in ("\n\n".join(values), octets):
        _, register = registering.unpack(queued)
        assert register == ThirdPartyRegister("sip:a@b", *[""] * 8, b"<null>")  # type: ignore[call-arg,arg-type]


@pytest.mark.parametrize("no_text", [b"\xff", b"a\0b"])
def test_what_is_no_text_is_as_good_as_absent(registering: ModuleType, no_text: bytes) -> None:
    """As `ksr_reader.next_queued` has it: in base64 when it is not UTF-8."""
    octets = b"\n\n".join([b"192.0.2.1", b"4", b"sip:a@b", no_text, *[b""] * 7, b"body"])
    queued = octets.decode() if no_text[:1] == b"a" else "=" + base64.b64encode(octets).decode()
    peer, register = registering.unpack(queued)

    assert (peer, register.to, register.from_uri) == ("192.0.2.1", "sip:a@b", "")
    assert register.body == b"body"


def test_a_value_of_a_queue_that_is_not_utf_8_comes_in_base64(registering: ModuleType) -> None:
    ksr = registering.ksr_reader.KSR
    ksr.mqueue.mq_fetch.return_value = 1
    ksr.mqueue.mqk_get.return_value = "1:2:3"
    ksr.mqueue.mqv_get.side_effect = [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        "text",
    ]
    ksr.pv.get.side_effect = {"$(mqv(registers){s.encode.base64})": "/w=="}.__getitem__

    assert registering.ksr_reader.next_queued("registers") == ("1:2:3", "=/w==")
    assert registering.ksr_reader.next_queued("registers") == ("1:2:3", "text")


def test_python_has_kamailio_say_which_queue_a_register_belongs_to(registering: ModuleType) -> None:
    ksr = registering.KSR
    ksr.pv.get.side_effect = {"$var(queue)": 5}.__getitem__

    assert registering.queue() == "registers5"
    ksr.route.assert_called_once_with("QUEUE")
    assert "route[QUEUE]" in (ROOT / "kamailio.cfg").read_text()


def test_what_is_stored_is_answered_natively(
    registering: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By index and label as C's int has them: Kamailio counts labels without a sign."""
    ksr = MagicMock(name="KSR")
    monkeypatch.setattr(registering.suspended, "KSR", ksr)
    registering.suspended.resume_all(
        [("7:9:1.5", (("Expires", "0"), ("P-Charging-Vector", "v"))), ("8:4294967295:1.5", ())]
    )

    assert [call.args for call in ksr.mqueue.mq_add.call_args_list] == [
        ("registered", "7:9", "Expires: 0\r\nP-Charging-Vector: v\r\n"),
        ("registered", "8:-1", ""),
    ]
    ksr.route.assert_called_once_with("ANSWERS")


@pytest.fixture
def completer(registering: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A completer without a store: reading is asked of it alone."""
    monkeypatch.setattr(registering.log, "get", MagicMock())
    made = registering.RegisterCompleter.__new__(registering.RegisterCompleter)
    made._settings = MagicMock()
    made._settings.config.core.ioi = "home1.example"
    made._settings.is_trusted.side_effect = lambda address: address == "192.0.2.1"
    return made


def packed(peer: str = "192.0.2.1", to: str = "sip:a@home1.example", expires: str = "3600") -> str:
    values = [peer, "0", to, "sip:s@home1.example", "", expires, *[""] * 6]
    return "\n\n".join(values)


def test_a_register_is_judged_where_it_is_read(completer: Any) -> None:
    read = [
        completer._read("1:2:3", one, 5)
        for one in (packed(), packed(expires="soon"), packed(to="nobody"), packed(peer="192.0.2.2"), "?")
    ]

    assert read[0].report.aor == "sip:a@home1.example"
    assert read[0].headers == (("Expires", "3600"),)
    assert [one.status for one in read[1:]] == [400, 400, 403, 500]
