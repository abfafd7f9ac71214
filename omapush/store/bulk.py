"""Large values of Redis, read from the socket into the bytes that are handed on, without a parser between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Final

import hiredis
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from omapush.store.client import Command, Store, ask_all, store_errors

_BUFFER: Final = 4_096
"Octets that are read at a time around a value; the value itself goes past the buffer."
_LINE_END: Final = 2


def read_all(store: Store, doing: str, commands: Sequence[Command]) -> list[bytes | None]:
    """
    Return the answers of commands that each give a string or nothing, sent in one go.

    The client library's parser copies what it gets several times: it takes ten times as long for a megabyte.

    Raises:
        StoreUnavailable: no answer, or Redis says that it can't serve now.
    """
    if store.cluster is not None:
        return ask_all(store, doing, commands)
    packed = b"".join(hiredis.pack_command(words) for words in commands)  # type: ignore[arg-type]
    pool = store.db.connection_pool
    with store_errors(doing):
        connection = pool.get_connection()
        try:
            found = connection.retry.call_with_retry(
                lambda: _exchange(connection, packed, len(commands)), lambda _: None
            )
        finally:
            pool.release(connection)
        for answer in found:
            if isinstance(answer, ResponseError):
                raise answer
    return [answer for answer in found if not isinstance(answer, ResponseError)]


def _exchange(
    connection: AbstractConnection, packed: bytes, number: int
) -> list[bytes | ResponseError | None]:
    """Answers, an error in the place of its answer; whatever is raised, no answer is left in the socket."""
    try:
        connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
        with connection._sock.makefile("rb", _BUFFER) as stream:  # type: ignore[attr-defined]
            return [_answer(stream) for _ in range(number)]
    except BaseException:
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise


def _answer(stream: BinaryIO) -> bytes | ResponseError | None:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionLost("the connection ended")
    kind, text = line[:1], line[1:-_LINE_END]
    if kind == b"-":
        return ResponseError(text.decode("utf-8", "replace"))
    if kind == b"_" or (kind == b"$" and text == b"-1"):
        return None
    if kind != b"$" or not text.isdigit():
        raise ConnectionLost("not a string")
    length = int(text)
    value = stream.read(length)
    if len(value) < length or len(stream.read(_LINE_END)) < _LINE_END:
        raise ConnectionLost("the connection ended in the middle of a value")
    return value
