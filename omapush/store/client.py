"""The connection to Redis and the one way to call our Redis functions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
import redis
from redis.connection import AbstractConnection
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from omapush.config import RedisSection
from omapush.errors import PushError, StoreUnavailable, shortened
from omapush.store.cluster import Cluster, NotKept
from omapush.store.connecting import client_of, is_replaced
from omapush.store.keys import Layout
from omapush.store.sealing import NO_KEYS, KeyRing, read_ring

FUNCTIONS = Path(__file__).resolve().parents[2] / "schema" / "functions"
_NOT_NOW = (
    "ACL failure in script",  # of Valkey: what Redis says of the user executing the script
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "The user executing the script can't run",
    "max number of clients",
    "unknown command",
)
"""
Beginnings of errors by which Redis says that it cannot serve now, be it that an operator has to let it: a
provider is to come again then.
"""
_SAYS_NOT_NOW = (
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    TryAgainError,
)
"The same in the words of the client library, which removes these beginnings."
_LONGEST = 200
"Characters of what Redis says: it may repeat a whole library of functions."
_NAME = re.compile(r"(#!lua name=|register_function\('|function_name = ')(omapush_[a-z_]+)")
_USES = re.compile(r"^-- uses ([a-z]+\.lua)$", re.MULTILINE)
"Line in a Lua library in whose place a shared file is inserted."


class StoreRefused(PushError):
    """Redis does not understand the question: a defect of ours, or a server that is not Redis 7."""


@dataclass(frozen=True, slots=True)
class Store:
    """What every function of this package takes first: a client, and how keys are spread."""

    db: redis.Redis
    layout: Layout
    ring: KeyRing = NO_KEYS
    "Keys that content is encrypted with."
    cluster: Cluster | None = None
    "The same object as `db`, if it is a Cluster."
    replica_wait_ms: int = 0
    "How long a call that has to be safe waits until a replica has the change."


Command = tuple[str | int | float | bytes, ...]
"A command of Redis, word by word."


class Call(NamedTuple):
    """One call of a Redis function; all its keys are in one slot."""

    function: str
    keys: Sequence[str]
    args: Sequence[Any]


def connect(settings: RedisSection) -> Store:
    """
    Return a store whose socket is opened on first use, so that a process may fork before it.

    A connection that Redis closed is opened once more; a time-out is not repeated.

    Raises:
        PushError: a key of `redis.content_keys` cannot be read.
    """
    db, cluster = client_of(settings, settings.timeout_ms / 1000)
    layout = Layout(settings.user_shards, settings.push_shards)
    wait_ms = 0 if settings.place.kind == "one" else settings.replica_wait_ms
    return Store(db, layout, read_ring(settings.content_keys), cluster, wait_ms)


def libraries() -> dict[str, str]:
    """
    Return our Redis function libraries: name -> code.

    All names end with a digest of the code, so that two releases may use one Redis, and neither ever calls a
    function of the other.
    """
    return dict(_LIBRARIES)


def release() -> str:
    """Return the ending of the names of our functions; it differs in each release that changes a function."""
    return _DIGEST


def _read_libraries() -> tuple[dict[str, str], str]:
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(FUNCTIONS.glob("*.lua"))}
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:8]
    whole = [_USES.sub(lambda use: files[use[1]], source) for source in files.values() if source[:2] == "#!"]
    named = [_NAME.sub(rf"\1\2_{digest}", source) for source in whole]
    return {code.split("\n", 1)[0].removeprefix("#!lua name="): code for code in named}, digest


_LIBRARIES, _DIGEST = _read_libraries()


def servers(store: Store) -> list[redis.Redis]:
    """Return a client of each server that we use: of the only one, or of each master of a Cluster."""
    return [store.db] if store.cluster is None else store.cluster.masters()


def load_functions(store: Store) -> None:
    """
    Load schema/functions into Redis, in a Cluster into each master; functions that are there already stay.
    """
    with store_errors("load functions"):
        for code in _LIBRARIES.values():
            store.db.function_load(code, replace=True)


def call(store: Store, one: Call, *, is_safe: bool = False) -> Any:
    """Return the answer of one function call."""
    return call_all(store, [one], is_safe=is_safe)[0]


def call_all(store: Store, calls: Iterable[Call], *, is_safe: bool = False) -> list[Any]:
    """
    Return the answers of many calls, sent in one go; each call is atomic, the whole is not.

    `is_safe`: with replicas, not before one of them has what was stored, for it may be the master in a
    moment; as long as `redis.replica_wait_ms` allows.

    Every function may be called again with the same arguments, which happens here when a Redis that
    came back empty had to be given its functions first.

    Raises:
        StoreUnavailable: no answer, or Redis says that it can't serve now.
    """
    batch = list(calls)
    with store_errors(batch[0].function if batch else "nothing"):
        return _execute(store, [_words(one) for one in batch], store.replica_wait_ms if is_safe else 0)


def ask_and_call(
    store: Store, doing: str, commands: Sequence[Command], calls: Sequence[Call]
) -> tuple[list[Any], list[Any]]:
    """
    Return the answers of commands and those of function calls, as `ask_all` and `call_all`, sent in one go.

    Raises:
        StoreUnavailable: no answer, or Redis says that it can't serve now.
    """
    with store_errors(doing):
        answers = _execute(store, [*commands, *(_words(one) for one in calls)], 0)
    return answers[: len(commands)], answers[len(commands) :]


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn errors of the client library into errors of ours that say what was being done."""
    try:
        yield
    except _SAYS_NOT_NOW as error:
        raise StoreUnavailable(f"{doing}: {type(error).__name__}: {error}") from error
    except ResponseError as error:
        kind = StoreUnavailable if str(error).startswith(_NOT_NOW) else StoreRefused
        raise kind(f"{doing}: {shortened(str(error), _LONGEST)}") from error
    except (RedisError, RedisClusterException, OSError) as error:
        raise StoreUnavailable(f"{doing}: {type(error).__name__}: {error}") from error


def _words(one: Call) -> Command:
    return ("FCALL", f"{one.function}_{_DIGEST}", len(one.keys), *one.keys, *one.args)


def _execute(store: Store, commands: Sequence[Command], wait_ms: int) -> list[Any]:
    """Return the answers; functions are loaded if Redis does not know them."""
    answers = _round_trip(store, commands, wait_ms)
    if any(_is_unknown_function(answer) for answer in answers):
        load_functions(store)
        answers = _round_trip(store, commands, wait_ms)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def ask_all(store: Store, doing: str, commands: Iterable[Command]) -> list[Any]:
    """
    Return the answers of many commands, sent in one go; `doing` is for the text of errors.

    Raises:
        StoreUnavailable: no answer, or Redis says that it can't serve now.
    """
    with store_errors(doing):
        return _execute(store, list(commands), 0)


def _round_trip(store: Store, commands: Sequence[Command], wait_ms: int = 0) -> list[Any]:
    """
    Return the answers, an error as an exception in the place of its answer.

    `wait_ms`: then wait so long for one replica to have what was changed; 0: not at all.

    It does what the client library does for a pipeline, without the library's work for each command and each
    word of it, which is several times what Redis does for them.
    """
    if not commands:
        return []
    if store.cluster is not None:
        return store.cluster.exchange(commands, wait_ms)
    asked = [*commands, ("WAIT", 1, wait_ms)] if wait_ms else commands
    packed = b"".join(hiredis.pack_command(words) for words in asked)  # type: ignore[arg-type]
    pool = store.db.connection_pool
    connection = pool.get_connection()
    try:
        answers = connection.retry.call_with_retry(
            lambda: _exchange(connection, packed, len(asked)),
            lambda _: connection.disconnect(),  # type: ignore[no-untyped-call]
        )
        if wait_ms:
            _confirm(answers[-1], pool, connection)
        return answers[: len(commands)]
    finally:
        pool.release(connection)


def _confirm(number: Any, pool: redis.ConnectionPool, connection: AbstractConnection) -> None:
    """
    Look at the answer to WAIT.

    Raises:
        NotKept: the server became a replica meanwhile (UNBLOCKED); or no replica has what was stored, and
            another server is, or is about to be, the master.
    """
    if isinstance(number, ResponseError):
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise NotKept(str(number)) from number
    if not number and is_replaced(pool, connection):
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise NotKept("another server is the master now")


def _exchange(connection: AbstractConnection, packed: bytes, number: int) -> list[Any]:
    connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
    answers: list[Any] = []
    for _ in range(number):
        try:
            answers.append(connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


def _is_unknown_function(answer: object) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
