"""File transfer attributes: selector, id, disposition, dates, icon, range."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSdp
from omapush.protocol.file_transfer import (
    LONGEST_SAFE_NAME,
    FileDates,
    FileRange,
    FileSelector,
    FileTransfer,
    parse_date_time,
    read_file_transfer,
    safe_file_name,
    same_file,
)
from omapush.protocol.sdp import Attributes, Media

SHA1 = bytes(range(20))
SELECTOR = f'name:"My cool%22file%25.png" type:image/png;x="y z" size:4092 hash:sha-1:{SHA1.hex(":").upper()}'
DATES = 'creation:"Mon, 15 May 2006 15:01:31 +0300" read:"Mon, 15 May 2006 15:01:31 -0130"'


def media(*attributes: tuple[str, str | None]) -> Media:
    return Media("message", 2855, "TCP/MSRP", ("*",), attributes)


def test_a_selector_is_taken_apart_and_written_as_it_was() -> None:
    selector = FileSelector.parse(SELECTOR)

    assert selector == FileSelector('My cool"file%.png', 'image/png;x="y z"', 4092, (("sha-1", SHA1),))
    assert selector.digest() == SHA1
    assert selector.digest("sha-256") is None
    assert str(selector) == SELECTOR


def test_a_selector_in_another_order_is_the_same() -> None:
    assert FileSelector.parse('size:1 name:"a"') == FileSelector.parse('name:"a"  size:1')
    assert FileSelector.parse("") == FileSelector()


@pytest.mark.parametrize(
    "value",
    [
        "size:",
        "size:-1",
        "size:1 size:2",
        "size:0 size:0",
        'name:""',
        'name:"a',
        'name:"a"size:1',
        "type:image",
        "hash:sha-1:0",
        "hash:sha-1:00 hash:SHA-1:01",
        "colour:red",
        "size:" + "1" * 19,
    ],
)
def test_what_is_no_selector_is_refused(value: str) -> None:
    with pytest.raises(MalformedSdp) as refused:
        FileSelector.parse(value)

    assert refused.value.field == "a=file-selector"


def test_selectors_of_the_same_file_agree_in_what_both_say() -> None:
    whole = FileSelector.parse(SELECTOR)

    assert same_file(whole, FileSelector(name="other", size=4092))
    assert same_file(whole, FileSelector(media_type="IMAGE/png"))
    assert not same_file(whole, FileSelector(size=4093))
    assert not same_file(whole, FileSelector(media_type="image/gif"))
    assert not same_file(whole, FileSelector(hashes=(("sha-1", bytes(20)),)))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("menu.png", "menu.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "content"),
        (".profile", "profile"),
        ("", "content"),
        ("a\0b\nc", "a_b_c"),
        ("a:b|c", "a_b_c"),
        ("menü.png", "menü.png"),
        ("ill\udc80egal", "illegal"),
    ],
)
def test_a_name_cannot_leave_its_folder_or_hide(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


def test_a_long_name_keeps_its_ending() -> None:
    assert safe_file_name("x" * 1000 + ".png").endswith(".png")


@given(st.text(max_size=300))
def test_any_name_becomes_safe(name: str) -> None:
    safe = safe_file_name(name)

    assert 0 < len(safe.encode()) <= LONGEST_SAFE_NAME
    assert safe[0] != "."
    assert not set(safe) & set("/\\\0")
    assert safe_file_name(safe) == safe


def test_a_range_counts_from_one_and_may_be_open() -> None:
    assert FileRange.parse("1-32349") == FileRange(1, 32349)
    assert FileRange.parse("7-*") == FileRange(7)
    assert str(FileRange(7)) == "7-*"


@pytest.mark.parametrize("value", ["", "0-5", "5-4", "5", "a-b", "1-2-3", "*-5"])
def test_a_range_without_octets_is_refused(value: str) -> None:
    with pytest.raises(MalformedSdp):
        FileRange.parse(value)


def test_dates_keep_their_zone() -> None:
    dates = FileDates.parse(DATES)

    assert dates.creation == datetime(2006, 5, 15, 15, 1, 31, tzinfo=timezone(timedelta(hours=3)))
    assert dates.read == datetime(2006, 5, 15, 16, 31, 31, tzinfo=UTC)
    assert str(dates) == DATES


@pytest.mark.parametrize(
    "date",
    [
        "15 May 2006 15:01:31",
        "Mon, 15 May 2006 15:01:31 GMT",
        "Mon, 31 Feb 2006 15:01:31 +0000",
        "Mon, 15 Mai 2006 15:01:31 +0000",
        "Mon, 15 May 2006 15:01:31 +9900",
        "Mon, 15 May 0000 15:01:31 +0000",
    ],
)
def test_what_is_no_date_is_refused(date: str) -> None:
    with pytest.raises(MalformedSdp):
        parse_date_time(date)


def test_each_date_comes_once() -> None:
    with pytest.raises(MalformedSdp):
        FileDates.parse(f"{DATES} {DATES}")


def test_all_that_an_m_line_says_of_a_file_is_read_and_written() -> None:
    lines: Attributes = (
        ("file-selector", SELECTOR),
        ("file-transfer-id", "vBnG916bdberum2fFEABR1FR3ExZMUrd"),
        ("file-disposition", "attachment"),
        ("file-date", DATES),
        ("file-icon", "cid:id2@alicepc.example.com"),
        ("file-range", "1-*"),
    )
    transfer = read_file_transfer(media(*lines))

    assert transfer is not None
    assert transfer.attributes() == lines
    assert transfer.icon == "id2@alicepc.example.com"


def test_an_m_line_without_selector_transfers_no_file() -> None:
    assert read_file_transfer(media(("accept-types", "*"))) is None


def test_an_empty_selector_says_only_that_it_is_understood() -> None:
    assert read_file_transfer(media(("file-selector", None))) == FileTransfer(FileSelector())
    assert FileTransfer(FileSelector()).attributes() == (("file-selector", None),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file-transfer-id", "a b"),
        ("file-transfer-id", None),
        ("file-transfer-id", "x" * 129),
        ("file-disposition", "in line"),
        ("file-icon", "http://h.example/"),
        ("file-date", "today"),
        ("file-range", "2-1"),
    ],
)
def test_a_broken_attribute_is_named(name: str, value: str | None) -> None:
    with pytest.raises(MalformedSdp) as refused:
        read_file_transfer(media(("file-selector", "size:1"), (name, value)))

    assert refused.value.field == f"a={name}"


def read(value: str) -> FileSelector | None:
    """The selector, or None when it is refused; any other exception fails the test."""
    try:
        return FileSelector.parse(value)
    except MalformedSdp:
        return None


@pytest.mark.parametrize("end", range(len(SELECTOR)))
def test_every_prefix_is_read_or_refused(end: int) -> None:
    selector = read(SELECTOR[:end])

    assert selector is None or selector.size in (None, 4, 40, 409, 4092)


@given(st.one_of(st.text(), st.lists(st.sampled_from(SELECTOR.split(" "))).map(" ".join)))
def test_any_text_is_read_as_what_it_writes_or_refused(value: str) -> None:
    selector = read(value)

    assert selector is None or FileSelector.parse(str(selector)) == selector


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)


@given(NAMES, st.integers(0, 10**18 - 1), st.binary(min_size=1, max_size=64))
def test_what_is_written_is_read_back(name: str, size: int, digest: bytes) -> None:
    selector = FileSelector(name, "image/png", size, (("sha-256", digest),))

    assert FileSelector.parse(str(selector)) == selector


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])))
def test_a_date_is_read_back_to_the_second(date: datetime) -> None:
    assert FileDates.parse(str(FileDates(creation=date))).creation == date.replace(microsecond=0)
