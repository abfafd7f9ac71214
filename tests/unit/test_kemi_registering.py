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
    "path": "$hdr(Path)",
    "associated": "$hdr(P-Associated-URI)",
    "charging_vector": "$hdr(P-Charging-Vector)",
    "charging_functions": "$hdr(P-Charging-Function-Addresses)",
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
    written = configuration.partition("$var(values) =")[2].partition(";")[0]

    assert list(ThirdPartyRegister._fields) == list(WRITTEN_BY_KAMAILIO)
    assert re.findall(r"\$[a-z]+(?:\([\w-]+\))?", written) == ["$si", "$cl", *WRITTEN_BY_KAMAILIO.values()]
    assert written.count('"\\n\\n"') == len(WRITTEN_BY_KAMAILIO) + 1


@given(values=st.lists(VALUES, min_size=9, max_size=9), body=st.binary(max_size=200))
def test_what_a_worker_hands_over_comes_out_as_it_was(
    registering: ModuleType, values: list[str], body: bytes
) -> None:
    make: Any = ThirdPartyRegister
    sent = make(*values, body)

    assert registering.unpack(registering._pack(sent)) == ("", sent)


def test_what_is_no_text_is_as_good_as_absent_and_what_stands_behind_the_body_is_none_of_it(
    registering: ModuleType,
) -> None:
    values = [b"192.0.2.1", b"4", b"sip:a@b", b"\xff", b"a\0b", *[b""] * 6, b"bodybehind\n\nit"]
    peer, register = registering.unpack(base64.b64encode(b"\n\n".join(values)).decode())

    assert (peer, register.to, register.from_uri, register.contact) == ("192.0.2.1", "sip:a@b", "", "")
    assert register.body == b"body"


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
    return base64.b64encode("\n\n".join(values).encode()).decode()


def test_a_register_is_judged_where_it_is_read(completer: Any) -> None:
    read = [
        completer._read("1:2:3", one)
        for one in (packed(), packed(expires="soon"), packed(to="nobody"), packed(peer="192.0.2.2"), "//8=")
    ]

    assert read[0].report.aor == "sip:a@home1.example"
    assert read[0].headers == (("Expires", "3600"),)
    assert [one.status for one in read[1:]] == [400, 400, 403, 500]
