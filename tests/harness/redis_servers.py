"""Real Redis servers of several: a Cluster with TLS and a user, and a master watched by Sentinels."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.crc import key_slot

from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.redis_guard import guard
from tests.harness.wait import wait_until

PROGRAM: Final = shutil.which("redis-server") or "redis-server"
# A file that may not grow is a write that fails, as on a full disk, and not the end of the process.
_START: Final = ("env", "--ignore-signal=XFSZ", PROGRAM)
SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 1_000
"A master that is silent for so long is replaced."

Environment = Callable[[str], Mapping[str, str]]
"What the process of `redis0`, `redis1` ... finds in its environment."


def _nothing_more(_: str) -> Mapping[str, str]:
    return {}


class Servers(ABC):
    """Processes that are started and stopped together."""

    def __init__(self) -> None:
        self.nodes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
            wait_until(lambda: all(map(_is_up, self.nodes)), 20, "Redis")
            self._join()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        for node in self.nodes:
            node.kill()

    def _start(self) -> None:
        for node in self.nodes:
            node.start()

    @abstractmethod
    def _join(self) -> None:
        """Make one of them all."""

    @abstractmethod
    def is_master(self, index: int) -> bool:
        """Whether it is one now, in its own eyes."""

    @abstractmethod
    def master(self) -> int:
        """The index of the master that has the most to do: the only one, or that of the first user shard."""

    @abstractmethod
    def replica_of(self, master: int) -> int:
        """The index of the replica that has what a master has."""

    @abstractmethod
    def client(self, index: int) -> Any:
        """One of the data servers, for the operator."""

    def unblock(self, index: int) -> bool:
        """Do to all who wait for a replica what a server does when it becomes one; whether anybody waited."""
        operator = self.client(index)
        connections = operator.client_list()
        waiting = [one["id"] for one in connections if one["cmd"] == "wait" and "b" in one["flags"]]
        for number in waiting:
            operator.client_unblock(number, error=True)
        return bool(waiting)

    @abstractmethod
    def is_whole(self) -> bool:
        """Whether each master serves, and has a replica that has what it has."""


def _is_up(node: Process) -> bool:
    return node.log.exists() and any(
        word in node.log.read_text(errors="replace")
        for word in ("Ready to accept", "ready to accept", "+monitor")
    )


class RedisCluster(Servers):
    """
    Three masters, 0 or 3 replicas, and masters without slots, in this order; each process by its index.

    `guarded`: with TLS between all, for clients with a certificate and the user `psa` alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 3,
        spare: int = 0,
        guarded: bool = False,
        environment: Environment = _nothing_more,
    ) -> None:
        super().__init__()
        self._environment = environment
        self._replicas = replicas
        count = 3 + replicas + spare
        numbers = free_ports(2 * count)
        self.ports, self._buses = numbers[:count], numbers[count:]
        hosts = ",".join(f"localhost:{port}" for port in self.ports[:3])
        self.settings = {"url": f"redis+cluster://{hosts}"}
        "The table `[redis]` for it."
        self._root: dict[str, Any] = {}
        guards = self._guard(folder) if guarded else []
        for index in range(count):
            port = str(self.ports[index])
            at = ["--port", "0", "--tls-port", port] if guarded else ["--port", port]
            self.nodes.append(self._node(folder / f"{index}", [*at, *guards], self._buses[index]))

    def _guard(self, folder: Path) -> list[str | Path]:
        """Let nobody in but by TLS with a certificate, and by name."""
        guarded = guard(folder)
        self._root = guarded.operator
        url = self.settings["url"].replace("redis+cluster://", "rediss+cluster://psa@")
        self.settings = {"url": url, **guarded.files}
        return [*guarded.tls, *guarded.data, "--tls-cluster", "yes"]

    def _node(self, folder: Path, own: list[str | Path], bus: int) -> Process:
        folder.mkdir(parents=True)
        command: list[str | Path] = [
            *_START, *own, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes",
            "--cluster-enabled", "yes", "--cluster-port", str(bus), "--repl-diskless-sync-delay", "0",
            "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
        ]  # fmt: skip
        return Process(command, log=folder / "redis.log", env=self._environment(f"redis{len(self.nodes)}"))

    def client(self, index: int) -> Any:
        """One node, for the operator."""
        return redis.Redis(host="localhost", port=self.ports[index], decode_responses=True, **self._root)

    def _join(self) -> None:
        for index in range(len(self.nodes)):
            self.client(index).execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for index in range(3):
            low, high = index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1
            self.client(index).execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
        for index in range(1, len(self.nodes)):
            self.client(0).execute_command(
                "CLUSTER", "MEET", "127.0.0.1", self.ports[index], self._buses[index]
            )
        wait_until(
            lambda: all(self._knows_all(index) for index in range(len(self.nodes))), 20, "acquaintance"
        )
        for index in range(3, 3 + self._replicas):
            self.client(index).execute_command("CLUSTER", "REPLICATE", self.id_of(index - 3))
        wait_until(lambda: all(map(self.is_well, range(len(self.nodes)))), 20, "a Cluster that is well")

    def _knows_all(self, index: int) -> bool:
        return int(self._info(index)["cluster_known_nodes"]) == len(self.nodes)

    def _info(self, index: int) -> dict[str, str]:
        found: dict[str, str] = self.client(index).execute_command("CLUSTER INFO")
        return found

    def is_well(self, index: int) -> bool:
        """Whether a node sees all slots served, and is a replica that has what its master has, if one."""
        if self._info(index)["cluster_state"] != "ok":
            return False
        replication = self.client(index).info("replication")
        return bool(replication["role"] == "master" or replication["master_link_status"] == "up")

    def id_of(self, index: int) -> str:
        """By which the others know a node."""
        return str(self.client(index).execute_command("CLUSTER", "MYID"))

    def is_master(self, index: int) -> bool:
        """Whether it is one now, in its own eyes."""
        return bool(self.client(index).info("replication")["role"] == "master")

    def master(self) -> int:
        """The one of the first user shard."""
        return self.owner_of(key_slot(b"u0"))

    def replica_of(self, master: int) -> int:
        """Of two that have the same slots, one is the master at a time."""
        return (master + 3) % 6

    def is_whole(self) -> bool:
        """All of them, three of which are masters, see all slots served."""
        try:
            masters = [index for index in range(len(self.nodes)) if self.is_master(index)]
            return len(masters) == 3 and all(map(self.is_well, range(len(self.nodes))))
        except redis.RedisError:
            return False

    def owner_of(self, slot: int) -> int:
        """The index of the master that serves a slot."""
        shown = self.client(self._alive()).execute_command("CLUSTER SLOTS")
        for low, high, master, *_ in shown:
            if low <= slot <= high:
                return self.ports.index(int(master[1]))
        raise LookupError(slot)

    def _alive(self) -> int:
        return next(index for index, node in enumerate(self.nodes) if node.is_running)

    def begin_move(self, slot: int, to: int) -> None:
        """Let a slot be on its way to another master; no key has moved yet."""
        owner = self.owner_of(slot)
        self.client(to).execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(owner))
        self.client(owner).execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))

    def end_move(self, slot: int, to: int) -> None:
        """Move all keys of the slot, and tell everybody but those who remember the old owner."""
        owner = self.owner_of(slot)
        access = ("AUTH", self._root["password"]) if self._root else ()
        place = ("localhost", self.ports[to], "", 0, 5_000, *access, "KEYS")
        while names := self.client(owner).execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.client(owner).execute_command("MIGRATE", *place, *names)
        for index in (to, owner, *(one for one in range(3) if one not in (to, owner))):
            self.client(index).execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def kill_master(self, index: int) -> None:
        """End a master as a power cut does, and return when its replica has taken over."""
        self.nodes[index].kill()
        wait_until(lambda: self.is_master(index + 3), 20, "the replica takes over")


class Watched(Servers):
    """
    A master, its replica, and three Sentinels that agree when the master is gone.

    `guarded`: all of them with TLS alone, the data servers for clients with a certificate and the user `psa`.
    """

    NAME: Final = "omapush"

    def __init__(
        self, folder: Path, *, guarded: bool = False, environment: Environment = _nothing_more
    ) -> None:
        super().__init__()
        self.ports = free_ports(2)
        self._watchers = free_ports(3)
        self._guard = guard(folder) if guarded else None
        for index, port in enumerate(self.ports):
            command = self._data_server(folder / f"redis{index}", port, is_replica=index > 0)
            log = folder / f"redis{index}/redis.log"
            self.nodes.append(Process(command, log=log, env=environment(f"redis{index}")))
        for index, port in enumerate(self._watchers):
            own = folder / f"sentinel{index}"
            self.nodes.append(Process(self._watcher(own, port), log=own / "redis.log"))
        (folder / "word").write_text("watchword\n")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._watchers)
        scheme, user = ("rediss", "psa@") if self._guard else ("redis", "")
        self.settings = {
            "url": f"{scheme}+sentinel://{user}{hosts}/{self.NAME}",
            "sentinel_password_file": str(folder / "word"),
            **(self._guard.files if self._guard else {}),
        }
        "The table `[redis]` for it."

    def _data_server(self, own: Path, port: int, *, is_replica: bool) -> list[str | Path]:
        """Whom it follows is in its file, which Sentinels have rewritten; words here would undo that."""
        own.mkdir(parents=True)
        (own / "redis.conf").write_text(f"replicaof 127.0.0.1 {self.ports[0]}\n" if is_replica else "")
        guards = [*self._guard.tls, *self._guard.data] if self._guard else []
        return [
            *_START, own / "redis.conf", *self._at(port), "--bind", "127.0.0.1", "--dir", own, "--save", "",
            "--appendonly", "yes", "--repl-diskless-sync-delay", "0", *guards,
        ]  # fmt: skip

    def _watcher(self, own: Path, port: int) -> list[str | Path]:
        own.mkdir(parents=True)
        access = f"sentinel auth-pass {self.NAME} {self._guard.password}\n" if self._guard else ""
        (own / "sentinel.conf").write_text(
            f"bind 127.0.0.1\ndir {own}\nrequirepass watchword\n"
            f"sentinel sentinel-pass watchword\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.ports[0]} 2\n"
            f"sentinel down-after-milliseconds {self.NAME} {NODE_TIMEOUT_MS}\n"
            f"sentinel failover-timeout {self.NAME} 5000\n{access}"
        )
        guards = self._guard.tls if self._guard else []
        return [PROGRAM, own / "sentinel.conf", *self._at(port), *guards, "--sentinel"]

    def _at(self, port: int) -> list[str]:
        return ["--port", "0", "--tls-port", str(port)] if self._guard else ["--port", str(port)]

    def client(self, index: int) -> Any:
        """One of the two data servers."""
        access = self._guard.operator if self._guard else {}
        return redis.Redis(host="127.0.0.1", port=self.ports[index], decode_responses=True, **access)

    def _sentinel(self, index: int) -> redis.Redis:
        access = self._guard.by_tls if self._guard else {}
        return redis.Redis(host="127.0.0.1", port=self._watchers[index], password="watchword", **access)

    def _start(self) -> None:
        """Sentinels ask who replicates when they start, then each ten seconds: so the replica is first."""
        for node in self.nodes[:2]:
            node.start()
        wait_until(self._is_replicated, 20, "a master with its replica")
        for node in self.nodes[2:]:
            node.start()

    def _is_replicated(self) -> bool:
        try:
            return bool(self.client(1).info("replication")["master_link_status"] == "up")
        except redis.RedisError:
            return False

    def _join(self) -> None:
        def agree() -> bool:
            shown: list[Any] = [self._sentinel(index).sentinel_master(self.NAME) for index in range(3)]
            return all(one["num-other-sentinels"] == 2 and one["num-slaves"] == 1 for one in shown)

        wait_until(agree, 30, "Sentinels that know each other and the replica")

    def is_master(self, index: int) -> bool:
        """Whether it is the master now."""
        return bool(self.client(index).info("replication")["role"] == "master")

    def master(self) -> int:
        """The one that the Sentinels name."""
        return self.ports.index(self._named(0))

    def replica_of(self, master: int) -> int:
        """The other one."""
        return 1 - master

    def _named(self, index: int) -> int:
        """The port of the master in the eyes of one Sentinel."""
        shown: Any = self._sentinel(index).sentinel_master(self.NAME)
        return int(shown["port"])

    def is_whole(self) -> bool:
        """The master that all Sentinels name has the other one behind it."""
        try:
            named = {self._named(index) for index in range(3)}
            if len(named) != 1 or not self.is_master(master := self.ports.index(named.pop())):
                return False
            other = self.client(1 - master).info("replication")
            return bool(other["role"] == "slave" and other["master_link_status"] == "up")
        except redis.RedisError:
            return False

    def promote(self, index: int) -> None:
        """Let the Sentinels make a master of the replica, and return when the other one follows it."""

        def is_begun() -> bool:
            try:
                return bool(self._sentinel(0).sentinel_failover(self.NAME))
            except redis.ResponseError:  # the one before is not over yet
                return False

        wait_until(is_begun, 30, "a failover")
        wait_until(lambda: self.is_whole() and self.master() == index, 40, "the replica takes over")

    def kill_master(self) -> None:
        """End the master as a power cut does, and return when the replica has taken over."""
        self.nodes[0].kill()
        wait_until(lambda: self.is_master(1), 30, "the replica takes over")
