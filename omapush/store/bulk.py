"""Large values of Redis, read from the socket into the octets that are handed on: no parser between."""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

import hiredis
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from omapush.store.client import Command, Store, ask_all, store_errors

Octets = bytes | bytearray
"A value; once it is complete it is not changed any more."
Answer = Octets | ResponseError | None
LONGEST_VALUE: Final = 67_108_864
_SPARE: Final = 512
"Octets to read after a value: its line break, and the line before the next value."
_LONGEST_LINE: Final = 4_096
_AT_ONCE: Final = 1_048_576
"Largest number of octets to read from one socket before others get their turn."
_MOST_TO_WAIT_FOR: Final = 262_144
_BREAK: Final = b"\r\n"


class Answers:
    """
    Takes apart the answers of commands that each give a string or nothing, as they come in.

    Put the next octets where `places` says, and tell how many by `took`.
    """

    def __init__(self) -> None:
        self.ready: deque[Answer] = deque()
        "The complete answers, in their order; an error stands in the place of its answer."
        self._spare = memoryview(bytearray(_SPARE))
        self._held = b""
        "Octets that are not a complete line yet, or not a complete line break after a value."
        self._value: bytearray | None = None
        self._left = memoryview(b"")
        "Where the rest of the current value belongs."

    @property
    def between(self) -> bool:
        """Whether no answer is incomplete."""
        return self._value is None and not self._held

    @property
    def missing(self) -> int:
        """Number of octets that are missing in the current value."""
        return len(self._left)

    def places(self) -> list[memoryview]:
        """Return where the next octets belong, in this order; never an empty list."""
        return [self._left, self._spare] if self._left else [self._spare]

    def took(self, number: int) -> None:
        """
        Note that this number of octets was put into their places.

        Raises:
            ConnectionLost: these are no answers of such commands.
        """
        in_value = min(number, len(self._left))
        self._left = self._left[in_value:]
        if number > in_value:
            self._parse(self._held + bytes(self._spare[: number - in_value]))

    def _parse(self, data: bytes) -> None:
        at = 0
        while True:
            if self._value is None:
                end = data.find(_BREAK, at)
                if end < 0:
                    break
                self._take_line(data[at:end])
                at = end + len(_BREAK)
                continue
            part = data[at : at + len(self._left)]
            self._left[: len(part)] = part
            self._left = self._left[len(part) :]
            at += len(part)
            if len(data) < at + len(_BREAK):
                break
            if data[at : at + len(_BREAK)] != _BREAK:
                raise ConnectionLost("not a string")
            self.ready.append(self._value)
            self._value = None
            at += len(_BREAK)
        self._held = data[at:]
        if len(self._held) > _LONGEST_LINE:
            raise ConnectionLost("not a string")

    def _take_line(self, line: bytes) -> None:
        kind, text = line[:1], line[1:]
        if kind == b"-":
            self.ready.append(ResponseError(text.decode("utf-8", "replace")))
        elif kind == b"_" or (kind == b"$" and text == b"-1"):
            self.ready.append(None)
        elif kind != b"$" or not text.isdigit() or int(text) > LONGEST_VALUE:
            raise ConnectionLost("not a string")
        else:
            self._value = bytearray(int(text))
            self._left = memoryview(self._value)


def read_all(store: Store, doing: str, commands: Sequence[Command]) -> list[Octets | None]:
    """
    Return the answers of commands that each return a string or nothing, sent in one go.

    The parser of the client library copies what it gets several times, and so takes ten times as long for a
    megabyte.

    Raises:
        StoreUnavailable: no answer, or Redis says that it can't serve now.
    """
    if store.cluster is not None:
        return ask_all(store, doing, commands)
    pool = store.db.connection_pool
    with store_errors(doing):
        connection = pool.get_connection()
        try:
            found = connection.retry.call_with_retry(
                lambda: _exchange(connection, _packed(commands), len(commands)), lambda _: None
            )
        finally:
            pool.release(connection)
    return without_errors(doing, found)


def without_errors(doing: str, found: Sequence[Answer]) -> list[Octets | None]:
    """
    Return the answers, when there is no error among them.

    Raises:
        StoreUnavailable: Redis says that it can't serve now.
    """
    with store_errors(doing):
        for answer in found:
            if isinstance(answer, ResponseError):
                raise answer
    return [answer for answer in found if not isinstance(answer, ResponseError)]


class Channel:
    """
    A connection for large values that is read without blocking, for a caller that can wait for many sockets.

    After an error it can only be closed.
    """

    def __init__(self, store: Store) -> None:
        """
        Connect, which may block. Not for a Cluster, where each server needs a connection of its own.

        Raises:
            StoreUnavailable: nobody takes it.
        """
        self._pool = store.db.connection_pool
        with store_errors("connect"):
            self._connection = self._pool.get_connection()
            self._sock = _socket(self._connection)
            self._sock.settimeout(0)
        self._answers = Answers()
        self._low_water = 1

    def fileno(self) -> int:
        """Return the socket to wait for, until it can be read."""
        return self._sock.fileno()

    def ask(self, doing: str, commands: Sequence[Command]) -> None:
        """
        Ask for values; their answers come after those to earlier questions.

        Raises:
            StoreUnavailable: the connection takes nothing.
        """
        with store_errors(doing):
            self._sock.sendall(_packed(commands))

    def receive(self, doing: str) -> list[Answer]:
        """
        Return the answers that are complete now, maybe none; there may be more octets in the socket.

        Raises:
            StoreUnavailable: the connection has ended, or it brings no answers of such commands.
        """
        sock, answers, octets = self._sock, self._answers, 0
        with store_errors(doing):
            while True:
                places = answers.places()
                try:
                    number = _receive(sock, places)
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    break
                if not number:
                    raise ConnectionLost("the connection ended")
                answers.took(number)
                octets += number
                if isinstance(sock, ssl.SSLSocket):  # what it has decrypted, nothing will wake us for
                    continue
                if octets >= _AT_ONCE or number < sum(map(len, places)):
                    break
            self._wake_at(answers.missing)
        found = list(answers.ready)
        answers.ready.clear()
        return found

    def _wake_at(self, octets: int) -> None:
        """Make the socket readable only when this number of octets has arrived, since each look costs."""
        octets = min(max(octets, 1), _MOST_TO_WAIT_FOR)
        if octets != self._low_water and not isinstance(self._sock, ssl.SSLSocket):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)
            self._low_water = octets

    def close(self) -> None:
        """Close the connection, because answers may still be on their way in it."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]
        self._pool.release(self._connection)


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join(hiredis.pack_command(words) for words in commands)  # type: ignore[arg-type]


def _exchange(connection: AbstractConnection, packed: bytes, number: int) -> list[Answer]:
    """
    Read all answers, with an error in the place of its answer; whatever is raised, no answer is left in the
    socket.
    """
    try:
        connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
        answers = Answers()
        while len(answers.ready) < number:
            octets = _receive(_socket(connection), answers.places())
            if not octets:
                raise ConnectionLost("the connection ended")
            answers.took(octets)
        if not answers.between:
            raise ConnectionLost("more answers than were asked for")
        return list(answers.ready)
    except BaseException:
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise


def _socket(connection: AbstractConnection) -> socket.socket:
    found = connection._sock
    assert isinstance(found, socket.socket)  # noqa: S101 - it is connected
    return found


def _receive(sock: socket.socket, places: list[memoryview]) -> int:
    """Read once; by TLS into the first place only."""
    if isinstance(sock, ssl.SSLSocket):
        return sock.recv_into(places[0])
    return sock.recvmsg_into(places)[0]
