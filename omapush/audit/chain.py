"""
Audit entries as lines of JSON, each with a hash over itself and the hash before it.

Changing, leaving out or moving a line breaks the chain behind it. Whoever can write the file could make a
new chain from there on: a key, kept where that person cannot read it, stops that too. What no chain shows is
that its end was cut off: note the head elsewhere and compare it (`Verdict.head`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from omapush.errors import shortened

BEGINNING: Final = "0" * 64
"The hash before the first entry."
LONGEST_WORD: Final = 512
_FIELDS: Final = ("seq", "at", "who", "from", "did", "what", "result", "more", "prev")


class Entry(NamedTuple):
    """One thing that somebody did, or tried to."""

    at: str
    "UTC, as `2026-01-31T09:00:01.234Z`."
    who: str
    "`initiator/acme`, `operator/root`, `process/api`."
    did: str
    "A verb: submit, cancel, steer, log-in, start, erase ..."
    what: str
    "What it was done to: a push-id, an address of record, a list."
    result: str
    "`done`, or the code or word of the refusal."
    source: str = ""
    "Address or host that it came from."
    more: tuple[tuple[str, str], ...] = ()
    "Further facts by name; never content, never a secret."


class Link(NamedTuple):
    """The end of a chain: what the next entry builds on."""

    seq: int = 0
    hash: str = BEGINNING


class Verdict(NamedTuple):
    """The result of checking a chain."""

    head: Link
    "The last correct entry."
    entries: int = 0
    "Number of correct entries, from the first on."
    broken: str = ""
    "Which line breaks the chain, and how; empty: none."


def line(entry: Entry, after: Link, key: bytes = b"") -> tuple[bytes, Link]:
    """Return the entry as one line with its line end, and the link for the next."""
    fields: dict[str, Any] = {
        "seq": after.seq + 1,
        "at": entry.at,
        "who": _word(entry.who),
        "from": _word(entry.source),
        "did": _word(entry.did),
        "what": _word(entry.what),
        "result": _word(entry.result),
        "more": {_word(name): _word(value) for name, value in entry.more},
        "prev": after.hash,
    }
    digest = _digest(fields, key)
    return (_written({**fields, "hash": digest}) + "\n").encode(), Link(after.seq + 1, digest)


def link_of(text: bytes) -> Link | None:
    """Return the link that a line ends with; None if it is not a complete line of ours."""
    fields = _read(text)
    if fields is None or not text.endswith(b"\n"):
        return None
    return Link(fields["seq"], fields["hash"])


def entry_of(text: bytes) -> Mapping[str, Any] | None:
    """Return the fields of a line; None if it is not one of ours."""
    return _read(text)


def verify(lines: Iterable[bytes], key: bytes = b"", *, begun_earlier: bool = False) -> Verdict:
    """
    Return how far the chain is correct; `lines` are all of it, oldest first.

    `begun_earlier`: its beginning is archived elsewhere, so the link of the first line is not checked.
    """
    link, sound = Link(), 0
    for number, text in enumerate(lines, 1):
        fields = _read(text)
        if fields is None or text != f"{_written(fields)}\n".encode():
            return Verdict(link, sound, f"line {number} is not a whole entry")
        if begun_earlier and number == 1:
            link = Link(fields["seq"] - 1, fields["prev"])
        if problem := _problem(fields, link, key):
            return Verdict(link, sound, f"line {number} {problem}")
        link, sound = Link(fields["seq"], fields["hash"]), sound + 1
    return Verdict(link, sound)


def _problem(fields: Mapping[str, Any], after: Link, key: bytes) -> str:
    if fields["seq"] != after.seq + 1:
        return f"has number {fields['seq']}, expected {after.seq + 1}"
    if fields["prev"] != after.hash:
        return "does not follow from the line before it"
    if not hmac.compare_digest(fields["hash"].encode(), _digest(fields, key).encode()):
        return "was changed, or written with another key"
    return ""


def _word(text: str) -> str:
    return shortened(text, LONGEST_WORD)


def _written(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _digest(fields: Mapping[str, Any], key: bytes) -> str:
    text = _written({name: fields[name] for name in _FIELDS}).encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest() if key else hashlib.sha256(text).hexdigest()


def _read(text: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or set(fields) != {*_FIELDS, "hash"}:
        return None
    words = all(isinstance(fields[name], str) for name in ("at", "who", "did", "what", "prev", "hash"))
    return fields if words and type(fields["seq"]) is int else None
