"""The Push Management Object: read, written, and refused with the name of what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omapush.errors import MalformedXml
from omapush.protocol.push_mo import MOST_SENDERS, TrustedApplication, TrustedSender, read, write

SENDERS = (
    TrustedSender("sip:mmsc@home1.example", (TrustedApplication("mms.ua", ("image/*", "text/plain")),)),
    TrustedSender("sip:*@push.home1.example"),
    TrustedSender("tel:+15550101", (TrustedApplication("ulp.ua"), TrustedApplication("", ("a/b",)))),
)
# As another server may write it: no namespace, own names, vendor nodes, the object deep in the tree.
FOREIGN = b"""<MgmtTree><VerDTD>1.2</VerDTD><Man>x</Man><Node><NodeName>.</NodeName>
<Node><NodeName>Apps</NodeName>
<Node><NodeName>WL</NodeName>
<RTProperties><Type><DDFName>urn:oma:mo:oma-push:1.1</DDFName></Type></RTProperties>
<Node><NodeName>PushWL</NodeName>
<Node><NodeName>TrustedSMSC</NodeName><Node><NodeName>1</NodeName>
<Node><NodeName>Addr</NodeName><Value>358</Value></Node>
</Node></Node>
<Node><NodeName>TrustedPPG</NodeName><Node><NodeName>main</NodeName>
<Node><NodeName>Addr</NodeName><Value> sip:a@x.example </Value></Node>
<Node><NodeName>Ext</NodeName><Node><NodeName>v</NodeName><Value>1</Value></Node></Node>
<Node><NodeName>9</NodeName><Node><NodeName>AppId</NodeName><Value>urn:x-wap-application:MMS.ua</Value></Node></Node>
</Node></Node></Node></Node></Node></Node></MgmtTree>"""


@pytest.mark.req("SEC-13")
def test_what_is_written_is_read_again() -> None:
    assert read(write(SENDERS)) == SENDERS
    assert read(write(())) == ()


@pytest.mark.req("SEC-13")
def test_the_object_is_found_wherever_it_stands_and_the_rest_is_passed_over() -> None:
    assert read(FOREIGN) == (TrustedSender("sip:a@x.example", (TrustedApplication("mms.ua"),)),)


_names = st.from_regex(r"[a-z0-9][a-z0-9.\-]{0,20}", fullmatch=True)
_types = st.from_regex(r"[a-z0-9+.\-]{1,20}/([a-z0-9+.\-]{1,20}|\*)", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"sip:[!-~]{1,30}", fullmatch=True),
            st.lists(st.tuples(_names | st.just(""), st.lists(_types, max_size=3)), max_size=3),
        ),
        max_size=4,
    )
)
def test_any_senders_survive_the_way(found: list[tuple[str, list[tuple[str, list[str]]]]]) -> None:
    senders = tuple(
        TrustedSender(address, tuple(TrustedApplication(name, tuple(types)) for name, types in apps))
        for address, apps in found
    )
    assert read(write(senders)) == senders


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "XML"),
        (b"<Node/>", "not MgmtTree"),
        (b"<MgmtTree/>", "DDFName"),
        (b"<!DOCTYPE MgmtTree SYSTEM 'x'><MgmtTree/>", "document type"),
        (write(SENDERS).replace(b"sip:mmsc@home1.example", b""), "Addr: missing"),
        (write(SENDERS).replace(b"sip:mmsc@home1.example", b"sip:a b"), "Addr: no address"),
        (write(SENDERS).replace(b"image/*", b"image"), "ContentType: not a content type"),
        (write(SENDERS).replace(b"image/*", b""), "ContentType: missing"),
        (write(SENDERS).replace(b"mms.ua", b"m" * 300), "AppId"),
        (write([TrustedSender("sip:a@x.example")] * (MOST_SENDERS + 1)), "more than"),
    ],
)
def test_what_is_no_such_object_is_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(MalformedXml) as refused:
        read(data)

    assert named in str(refused.value)


def test_every_prefix_is_refused() -> None:
    whole = write(SENDERS).rstrip()
    for end in range(len(whole)):
        with pytest.raises(MalformedXml):
            read(whole[:end])
