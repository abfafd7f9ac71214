"""
Contents of pushes, large ones in pieces beside the push, so that no single command of Redis is large.

Content of up to `delivery.inline_bytes` travels with the push record and its deliveries (store/pushes.py).
Larger content is written before the push is accepted, under a name of its own that runs out by itself;
accepting the push makes it the push's. It is erased when all recipients are final, or when the last link to
it has run out.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from omapush.push.values import Push
from omapush.store import bulk, codec, keys
from omapush.store.bulk import Octets
from omapush.store.client import Call, Command, Store, ask_all, call

PIECE: Final = 262_144
"Bytes of each piece but the last; reads that begin and end at pieces are the cheapest."
_UPLOAD_S: Final = 600
"What was uploaded and never accepted is gone after so long."
_READING: Final = "read content"


class Upload(NamedTuple):
    """Content that waits to become a push's."""

    name: str
    "For `Submission.upload`."
    sha1: bytes
    sha256: bytes


class Described(NamedTuple):
    """What is known of a push's content."""

    push: Push
    sha1: bytes
    sha256: bytes


def upload(store: Store, ref: str, content: bytes) -> Upload:
    """
    Write content in pieces for the push that will have this reference, and return how to name it.

    Blocks for as long as Redis takes; each piece is a round trip of its own, so that others get their turn.

    Raises:
        StoreUnavailable: what was written runs out by itself.
    """
    name = secrets.token_hex(8)
    key = keys.upload(store.layout.push_shard(ref), name)
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    whole = memoryview(content)
    for number, start in enumerate(range(0, len(content), PIECE)):
        piece = bytes(whole[start : start + PIECE])
        sha1.update(piece)
        sha256.update(piece)
        sealed = store.ring.seal(_piece(ref, number), piece)
        ask_all(store, "upload", [("HSET", key, number, sealed), ("EXPIRE", key, _UPLOAD_S)])
    return Upload(name, sha1.digest(), sha256.digest())


def discard(store: Store, ref: str, upload_name: str) -> None:
    """Erase what was uploaded for a push that was not accepted."""
    ask_all(store, "discard", [("UNLINK", keys.upload(store.layout.push_shard(ref), upload_name))])


def read(store: Store, ref: str, start: int, length: int) -> bytes | None:
    """
    Return up to `length` bytes of a push's content from `start` on; fewer at its end, none beyond it.

    None when the push is forgotten or its content erased, which happens once all its recipients are final.
    The memory that this takes is `length` and two pieces at most: long content is read bit by bit.
    """
    first, last = start // PIECE, max(start, start + length - 1) // PIECE
    found = pieces(store, ref, first, last - first + 1)
    offset = start - first * PIECE
    return None if found is None else b"".join(found)[offset : offset + length]


def pieces(store: Store, ref: str, first: int, count: int) -> list[Octets] | None:
    """
    Return up to `count` pieces of a push's content from number `first` on, each but the last whole.

    None when the push is forgotten or its content erased. Nothing is copied together: for who sends them on.
    """
    found = bulk.read_all(store, _READING, asked(store, ref, first, count))
    if found[0] is not None:
        return opened(store, ref, first, found)
    return _of_small(store, ref, first, count)


def asked(store: Store, ref: str, first: int, count: int) -> list[Command]:
    """Return the commands that ask for `count` pieces from number `first` on, for `opened`."""
    name = keys.content(store.layout.push_shard(ref), ref)
    return [("HGET", name, piece) for piece in range(first, first + count)]


def opened(store: Store, ref: str, first: int, found: Sequence[Octets | None]) -> list[Octets]:
    """
    Return the pieces that Redis gave; none where the content has no such pieces, as small content.

    Raises:
        NotOpened: no key of ours opens them.
    """
    return [
        store.ring.open(_piece(ref, piece), data)
        for piece, data in enumerate(found, first)
        if data is not None
    ]


def _of_small(store: Store, ref: str, first: int, count: int) -> list[Octets] | None:
    """Pieces of what travels with the push record; None when there is no such content."""
    number = store.layout.push_shard(ref)
    name = keys.content(number, ref)
    fields = ("HMGET", keys.push(number, ref), "body", "lines", "f0")
    where: list[Command] = [fields, ("HGET", name, "body"), ("EXISTS", name)]
    ((with_push, *is_emptied), with_links, known) = ask_all(store, _READING, where)
    if with_push == b"" and None not in is_emptied:
        with_push = None  # by the result of its one recipient (schema/functions/results.lua)
    body = with_push if with_push is not None else with_links
    if body is None:
        return [] if known else None
    whole = store.ring.open(ref, body)
    return [whole[at : at + PIECE] for at in range(first * PIECE, len(whole), PIECE)][:count]


def _piece(ref: str, number: int) -> str:
    """The name under which a piece is sealed: it opens in its place only."""
    return f"{ref}/{number}"


def describe(store: Store, ref: str) -> Described | None:
    """Return a push with the hashes of its content; None when push or content is not there any more."""
    found: list[Any] = ask_all(
        store, "describe", [("HGET", keys.push(store.layout.push_shard(ref), ref), "record")]
    )
    if found[0] is None:
        return None
    push = codec.push(found[0])
    if push.sha1:
        return Described(push, push.sha1, push.sha256)
    content = read(store, ref, 0, push.size)
    if content is None:
        return None
    sha1 = hashlib.sha1(content, usedforsecurity=False).digest()
    return Described(push, sha1, hashlib.sha256(content).digest())


def link(store: Store, ref: str, until_ms: int) -> bytes | None:
    """
    Keep a push's content until `until_ms` at least, and return the secret that its links are made with.

    The same secret for each link to a push. None when the push or its content is not there any more.
    """
    number = store.layout.push_shard(ref)
    secret = call(
        store,
        Call(
            "omapush_link",
            [keys.push(number, ref), keys.content(number, ref)],
            [secrets.token_bytes(16), until_ms],
        ),
    )
    return secret if isinstance(secret, bytes) else None
