"""traceparent and tracestate, as initiators send them and we pass them on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.trace_context import TraceContext, read, unpack

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_context_is_read_and_written_as_it_came() -> None:
    found = read(PARENT, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")

    assert found == TraceContext(TRACE, SPAN, True, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
    assert found.headers == {"traceparent": PARENT, "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}
    assert unpack(found.pack()) == found


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_the_last_bit_of_the_flags_says_sampled_and_others_go_no_further(
    flags: str, is_sampled: bool
) -> None:
    found = read(f"00-{TRACE}-{SPAN}-{flags}")

    assert found is not None
    assert found.is_sampled is is_sampled
    assert found.headers == {"traceparent": f"00-{TRACE}-{SPAN}-{int(is_sampled):02d}"}


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert read(f"cc-{TRACE}-{SPAN}-01-what-comes-then") == TraceContext(TRACE, SPAN, True)
    assert read(f"cc-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}{SPAN}-01",
        f"{PARENT},{PARENT}",
        f"{PARENT}\n",
    ],
)
def test_what_is_no_context_is_none(text: str) -> None:
    assert read(text, "a=b") is None


@pytest.mark.parametrize("end", range(len(PARENT)))
def test_a_context_that_is_cut_is_none(end: int) -> None:
    assert read(PARENT[:end]) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1", "a=1"),
        (" a=1 ,\t b=2 , ", "a=1,b=2"),
        ("fw529a3039@dt=FfwAAAAA", "fw529a3039@dt=FfwAAAAA"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=", ""),
        ("a=b=c", ""),
        ("a=1\x7f", ""),
        ("a=1;b", "a=1;b"),
        ("1a=x", ""),
        ("a" * 257 + "=1", ""),
        ("a=" + "x" * 257, ""),
        (",".join(f"k{number}=1" for number in range(32)), ",".join(f"k{number}=1" for number in range(32))),
        (",".join(f"k{number}=1" for number in range(33)), ""),
        ("a=1," + "x" * 5_000, ""),
    ],
)
def test_a_state_is_kept_as_a_whole_or_not_at_all(state: str, kept: str) -> None:
    found = read(PARENT, state)

    assert found is not None
    assert found.state == kept


def test_of_a_state_that_is_too_long_its_long_members_go_first_then_the_last() -> None:
    long = "long=" + "x" * 200
    short = [f"k{number}=" + "y" * 40 for number in range(12)]
    found = read(PARENT, ",".join([long, *short]))

    assert found is not None
    assert found.state == ",".join(short[:11])
    assert len(found.state) <= 512


@given(st.text(max_size=80), st.text(max_size=600))
def test_any_headers_are_a_context_that_packs_or_none(parent: str, state: str) -> None:
    for text in (parent, PARENT):
        found = read(text, state)
        assert found is None or unpack(found.pack()) == found
