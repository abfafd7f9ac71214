"""
A Redis Cluster as the store's other half: commands go to the masters of their slots, whoever these are now.

The client library knows the Cluster (nodes, slots, credentials, TLS); its pipelines look up each command and
ask the server for the keys of an FCALL. Ours know where a key stands, and follow redirections themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import redis
from redis.client import Pipeline
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import ConnectionPool
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Key = str | int | float | bytes
Words = tuple[Key, ...]

_WITHOUT_KEY: Final = frozenset(("DBSIZE", "FLUSHALL", "FLUSHDB", "INFO", "KEYS", "PING", "SCAN", "TIME"))
_ROUNDS: Final = 4
"How often a command is sent at most: first, after a redirection, after a lost connection, and once more."
_AGAIN_S: Final = 0.02
"Pause after TRYAGAIN, which means that some keys of the call are still moving to another node."
_LOOK_AGAIN_S: Final = 0.2
"Shortest time between two questions of one process for the layout of the Cluster."


class NotKept(RedisError):
    """No replica has what was stored, and the server that took it is, or may be, the master no more."""


class _Sent(NamedTuple):
    """Commands on their way to one node."""

    node: ClusterNode
    own: list[int]
    "Places of these commands among all commands of the call."
    pool: ConnectionPool
    connection: Any
    "The answers, or errors in their places."
    key: Key = b""
    "If WAIT follows the commands: the key of one of them."


class Cluster(redis.Redis):
    """Connects with the first command, so that a process may fork before it."""

    def __init__(self, make: Callable[[], RedisCluster]) -> None:
        super().__init__()  # for its commands; its own pool never connects
        self._make = make
        self._client: RedisCluster | None = None
        self._lock = threading.Lock()
        self._looked_s = 0.0
        self._guests: dict[tuple[str, int], ClusterNode] = {}
        "Nodes that a redirection named and that serve no slot yet."
        self._failed = ""
        """
        Node that did not answer in time: before anything else is sent, another node is asked for the layout.
        """

    @property
    def library(self) -> RedisCluster:
        """
        The library's client of the whole Cluster.

        Raises:
            redis.ConnectionError: none of the nodes that the URL names can be reached.
        """
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._make()
                except RedisClusterException as error:
                    raise RedisConnectionError(str(error)) from error
            return self._client

    # As one server ----------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Return the answer of one command. A command without a key goes where the client library sends it.
        """
        if " " in args[0] or args[0] in _WITHOUT_KEY:
            return self.library.execute_command(*args, **options)  # type: ignore[no-untyped-call]
        return _parsed(self, self.exchange([args])[0], args, options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """Return a pipeline whose commands may have different slots; it is not a transaction."""
        return _Pipeline(self)

    def scan_iter(self, *args: Any, **options: Any) -> Iterator[Any]:
        """Yield the keys of all masters."""
        found: Iterator[Any] = self.library.scan_iter(*args, **options)
        return found

    def close(self) -> None:
        """Close all connections; a later command opens them again."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def masters(self) -> list[Any]:
        """Return a client of each master, as far as the layout is known."""
        client = self.library
        return [client.get_redis_connection(node) for node in client.get_primaries()]  # type: ignore[no-untyped-call]

    def exchange(self, commands: Sequence[Words], wait_ms: int = 0) -> list[Any]:
        """
        Return the answers, an error as an exception in the place of its answer.

        `wait_ms`: each master then waits so long for one of its replicas to have what was changed.

        What a node did not answer because its connection broke is sent once more, to whoever is the master
        then; a time-out is not repeated. All keys of a command are in one slot.
        """
        if self._failed:
            self._look(self._failed)
        answers: list[Any] = [None] * len(commands)
        left: Iterable[int] = range(len(commands))
        for last in (number == _ROUNDS - 1 for number in range(_ROUNDS)):
            left = self._round(commands, left, answers, wait_ms, is_last=last)
            if not left:
                break
        return answers

    # One round ------------------------------------------------------------------------------------

    def _round(
        self,
        commands: Sequence[Words],
        wanted: Iterable[int],
        answers: list[Any],
        wait_ms: int,
        *,
        is_last: bool,
    ) -> list[int]:
        """Send commands and store their answers; return those that have to be sent again."""
        by_node: dict[str, tuple[ClusterNode, list[int]]] = {}
        for index in wanted:
            node = self._node_of(commands[index])
            by_node.setdefault(node.name, (node, []))[1].append(index)
        sent = [
            self._send(node, own, [commands[one] for one in own], wait_ms) for node, own in by_node.values()
        ]
        again: list[int] = []
        for one in sent:
            for index, answer in self._read(one).items():
                answers[index] = answer
            again += [index for index in one.own if self._is_again(index, commands[index], answers)]
        return [] if is_last else again

    def _node_of(self, words: Words) -> ClusterNode:
        if words[0] in _WITHOUT_KEY:
            return self.library.get_random_primary_node()  # whichever: the answer is that of any
        packed = _packed(_key_of(words))
        try:
            return self.library.nodes_manager.get_node_from_slot(key_slot(packed))
        except RedisClusterException as error:
            self._look("")
            raise RedisConnectionError(str(error)) from error

    def _send(self, node: ClusterNode, own: list[int], commands: Sequence[Words], wait_ms: int = 0) -> _Sent:
        """Send to one node; if that fails, the error takes the place of the connection."""
        waits: list[Words] = [("WAIT", 1, wait_ms)] if wait_ms else []
        packed = b"".join(hiredis.pack_command(words) for words in (*commands, *waits))  # type: ignore[arg-type]
        pool: ConnectionPool = self.library.get_redis_connection(node).connection_pool
        connection: Any = None
        try:
            connection = pool.get_connection()
            connection.send_packed_command([packed])
        except (RedisError, OSError) as error:
            if connection is not None:
                connection.disconnect()
                pool.release(connection)
            return _Sent(node, own, pool, error)
        return _Sent(node, own, pool, connection, _key_of(commands[0]) if wait_ms else b"")

    def _read(self, sent: _Sent) -> dict[int, Any]:
        """
        Return the answers of one node; after the last answer, the error that ended them. What had to be kept
        by a replica, and may not be, is answered by an error.
        """
        connection = sent.connection
        if isinstance(connection, Exception):
            self._lost(sent.node, connection)
            return dict.fromkeys(sent.own, connection)
        found: dict[int, Any] = {}
        try:
            for index in sent.own:
                try:
                    found[index] = connection.read_response()
                except ResponseError as error:
                    found[index] = error
            if sent.key:
                self._confirm(sent.node, sent.key, connection)
        except (RedisError, OSError) as error:
            connection.disconnect()
            self._lost(sent.node, error)
            stays = {index: answer for index, answer in found.items() if _is_kept(answer, sent)}
            found = dict.fromkeys(sent.own, error) | stays
        finally:
            sent.pool.release(connection)
        return found

    # What a replica has -----------------------------------------------------------------------------

    def _confirm(self, node: ClusterNode, key: Key, connection: Any) -> None:
        """
        Read the answer to WAIT.

        A master that stood still while it was replaced takes what comes until it hears of it, moments later.

        Raises:
            NotKept: the node became a replica meanwhile; or no replica has what was stored, and one of them
                is the master now.
        """
        try:
            number = connection.read_response()
        except ResponseError as error:  # UNBLOCKED: it is a replica now
            raise NotKept(str(error)) from error
        if not number and self._is_replaced(node, key):
            raise NotKept("another server is the master now")

    def _is_replaced(self, node: ClusterNode, key: Key) -> bool:
        """Tell whether one of the replicas of a node serves this key now: the others send us to the node."""
        client, slot = self._client, key_slot(_packed(key))
        known = client.nodes_manager.slots_cache.get(slot, []) if client is not None else []
        others = [one for one in known if one.name != node.name]
        answers = [self._read(self._send(other, [0], [("EXISTS", key)]))[0] for other in others]
        return any(not isinstance(answer, Exception) for answer in answers)

    # What an answer asks for ------------------------------------------------------------------------

    def _is_again(self, index: int, words: Words, answers: list[Any]) -> bool:
        """
        Tell whether a command has to be sent again; if it was redirected with ASK, ask the other node at
        once.
        """
        match answer := answers[index]:
            case MovedError():
                self.library.nodes_manager.move_slot(answer)
                return True
            case AskError():  # a MovedError is one, too
                answers[index] = self._asked(answer, words)
                return isinstance(answers[index], TryAgainError)
            case TryAgainError():
                time.sleep(_AGAIN_S)
                return True
            case ClusterDownError():
                self._look("")
                return False
            case RedisConnectionError():
                return not isinstance(answer, RedisTimeoutError)
            case _:
                return False

    def _asked(self, answer: AskError, words: Words) -> Any:
        """Ask the node to which a key is moving, once: the slot still belongs to the other node."""
        node = self.library.nodes_manager.get_node(host=answer.host, port=answer.port)
        if node is None:  # it serves no slot yet, so no layout has it
            place = (answer.host, answer.port)
            node = self._guests.setdefault(place, ClusterNode(*place))  # type: ignore[no-untyped-call]
        return self._read(self._send(node, [0, 1], [("ASKING",), words]))[1]

    # The layout -------------------------------------------------------------------------------------

    def _lost(self, node: ClusterNode, error: Exception) -> None:
        if isinstance(error, RedisTimeoutError):
            self._failed = node.name  # not now: whoever waits has waited long enough
        else:
            self._look(node.name)

    def _look(self, failed: str) -> None:
        """Ask for the layout again, the failed node last; if nobody answers, the known layout stays."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_AGAIN_S:
            return
        self._looked_s, self._failed = now, ""
        try:
            self.library.nodes_manager.initialize(last_failed_node_name=failed or None)
        except (RedisClusterException, RedisError, OSError):
            self._failed = failed


class _Pipeline(Pipeline):
    """Collects commands like the pipeline of the client library, and sends each to its master."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Return the answers; raises the first error among them."""
        collected, self.command_stack = list(self.command_stack), []
        answers = self._cluster.exchange([args for args, _ in collected])
        pairs = zip(answers, collected, strict=True)
        return [_parsed(self._cluster, answer, args, options) for answer, (args, options) in pairs]


def _key_of(words: Words) -> Key:
    return words[3] if words[0] == "FCALL" else words[1]


def _packed(key: Key) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()


def _is_kept(answer: object, sent: _Sent) -> bool:
    """Tell whether an answer stays if a later one is missing: not if a replica had to have the change."""
    return isinstance(answer, Exception) or not sent.key


def _parsed(client: redis.Redis, answer: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Return an answer as the client library does; raise it if it is an error."""
    if isinstance(answer, Exception):
        raise answer
    options.pop("keys", None)
    callback = client.response_callbacks.get(args[0])  # type: ignore[no-untyped-call]
    return callback(answer, **options) if callback is not None else answer
