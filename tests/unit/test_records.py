"""Records of other releases: former ones are read whole, later ones as far as we know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from omapush.store import codec
from omapush.store.codec import BrokenRecord
from omapush.store.later_records import known_part

CORPUS = Path(__file__).resolve().parents[1] / "corpora" / "records"
FORMER = sorted(CORPUS.glob("*/*.msgpack"))
KINDS = {kind.__name__: kind for kind in codec._DECODERS}
each_former = pytest.mark.parametrize("path", FORMER, ids=lambda path: f"{path.parent.name}-{path.stem}")


def plain(record: object) -> Any:
    """A record as MessagePack has it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record))


def agrees(former: Any, now: Any) -> bool:
    """Whether all that stood in a former record stands at its place now; behind it there may be more."""
    if isinstance(former, list) and isinstance(now, list):
        pairs = zip(former, now, strict=False)
        return len(now) >= len(former) and all(agrees(one, other) for one, other in pairs)
    if isinstance(former, dict) and isinstance(now, dict):
        return former.keys() == now.keys() and all(agrees(former[key], now[key]) for key in former)
    return bool(former == now)


@each_former
def test_what_a_former_release_stored_is_read_with_every_value_in_its_place(path: Path) -> None:
    data = path.read_bytes()

    record = codec._decode(KINDS[path.stem], data)

    assert agrees(msgspec.msgpack.decode(data), plain(record))


@each_former
def test_fields_that_a_later_release_adds_are_left_out_and_the_rest_is_read(path: Path) -> None:
    """So an older node goes on during an upgrade."""
    record = codec._decode(KINDS[path.stem], path.read_bytes())
    later = msgspec.msgpack.encode([*plain(record), "a field of tomorrow", 7])

    assert codec._decode(KINDS[path.stem], later) == record


def test_fields_added_inside_are_left_out_as_well() -> None:
    record = codec._decode(KINDS["Registration"], (CORPUS / "e7b516a" / "Registration.msgpack").read_bytes())
    later = plain(record)
    contacts = KINDS["Registration"]._fields.index("contacts")
    later[contacts] = [[*contact, "new"] for contact in later[contacts]]

    assert later[contacts]
    assert codec._decode(KINDS["Registration"], msgspec.msgpack.encode(later)) == record


@each_former
def test_a_record_that_is_cut_or_of_another_kind_is_still_broken(path: Path) -> None:
    data = path.read_bytes()
    for end in range(len(data)):
        with pytest.raises(BrokenRecord):
            codec._decode(KINDS[path.stem], data[:end])
    with pytest.raises(BrokenRecord):
        codec._decode(KINDS[path.stem], msgspec.msgpack.encode(["x", {}, None]))


def test_every_kind_that_was_stored_then_is_there() -> None:
    names = {path.stem for path in FORMER}

    assert {
        "Push",
        "Recipient",
        "Result",
        "Event",
        "Delivery",
        "Registration",
        "Watch",
        "Subscription",
    } <= names
    assert names <= set(KINDS)
    assert known_part(int, None) is None
