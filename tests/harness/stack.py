"""The product as its processes: Redis, Kamailio, api and others, each started, killed and started again."""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis

from omapush import clock, config
from omapush.cli import api_client
from omapush.push.outcome import TAKEN_CODE
from omapush.push.registration import Registration
from omapush.push.values import Event, Push, Recipient, Result, push_ref
from omapush.store import client, msrp_workers, outbox, outbox_views, pushes, registrations
from omapush.store.client import Store
from omapush.store.connecting import client_of
from omapush.store.pushes import Known, Submission
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.sip_ping import answers_options
from tests.harness.wait import wait_until

Settings = Mapping[str, Mapping[str, Any]]
Environment = Callable[[str], Mapping[str, str]]
"What the process of a part finds in its environment."
PARTS = ("redis", "sip", "api", "notifier")
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "loopback only"
START_S = 60.0

# Small windows and few shards: the same code in less memory and less time.
DEFAULTS: Settings = {
    "sip": {"workers": 2, "senders": 2, "window": 100, "shared_memory_mb": 128},
    "core": {"trusted_peers": ["127.0.0.1/32"]},
    "redis": {"user_shards": 4, "push_shards": 4, "timeout_ms": 500},
    "delivery": {"transaction_s": 40, "lease_ms": 2000},
    # Initiators of tests take their results on this machine.
    "notify": {"networks": ["127.0.0.0/8"]},
    # Most tests are not about sessions, and start no media worker.
    "sessions": {"enabled": False},
    # Most tests are not about the reg event: they count what reaches the core.
    "registration": {"watch": False},
    "initiator.trusted": {"password": PASSWORD, "identity": "sip:mmsc@home1.example"},
    "initiator.untrusted": {"password": PASSWORD, "trusted": False},
}


def _nothing_more(_: str) -> Mapping[str, str]:
    return {}


class Stack:
    """
    One private installation on free loopback ports; a context manager that starts its parts and ends them.

    `settings` are tables of omapush.toml, such as `{"sip": {"window": 10}, 'application."mms.ua"': {...}}`,
    and win over `DEFAULTS` key by key.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        parts: Sequence[str] = PARTS,
        *,
        environment: Environment = _nothing_more,
        root: Path = ROOT,
    ) -> None:
        """`environment`: what a part gets more than the tests have; `root`: the checkout whose code runs."""
        self._environment, self._root = environment, root
        sip_port, http_port, self.core_port, msrp_port = free_ports(4)
        self.folder = folder
        self.sip = ("127.0.0.1", sip_port)
        self.run_dir = Path(tempfile.mkdtemp(prefix="push-"))  # a unix socket's path is short
        "Sockets, pid files, and the files of the stack's own Redis."
        self.control = self.run_dir / "kamailio.ctl"
        self.config_file = folder / "omapush.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(_toml(self._tables(sip_port, http_port, msrp_port, settings or {})))
        self.config = config.load(str(self.config_file))
        self.http = api_client.url(self.config, "")
        self.store = self._connect()
        self.db: redis.Redis = self.store.db
        self.parts = {part: self._process(part) for part in parts}

    def _tables(
        self, sip_port: int, http_port: int, msrp_port: int, settings: Settings
    ) -> dict[str, dict[str, Any]]:
        own: Settings = {
            "sip": {"listen": [f"udp:127.0.0.1:{sip_port}", f"tcp:127.0.0.1:{sip_port}"]},
            "core": {"next_hop": f"sip:127.0.0.1:{self.core_port};lr"},
            "api": {"listen": f"127.0.0.1:{http_port}"},
            "redis": {"url": f"unix://{self.run_dir / 'redis.sock'}"},
            "msrp": {"listen": f"127.0.0.1:{msrp_port}", "workers": 1},
        }
        tables: dict[str, dict[str, Any]] = {}
        for source in (DEFAULTS, own, settings):
            for name, table in source.items():
                tables.setdefault(name, {}).update(table)
        return tables

    def _connect(self) -> Store:
        """A client of the tests' own: patient, for a test is not on anybody's signalling path."""
        settings = self.config.redis
        db, cluster = client_of(settings, timeout_s=10)
        return replace(client.connect(settings), db=db, cluster=cluster)

    def _process(self, part: str) -> Process:
        command: list[str | Path] = [sys.executable, "-m", "omapush.cli.main"]
        return Process(
            [*command, "--config", self.config_file, part],
            log=self.folder / f"{part}.log",
            env={"OMAPUSH_RUN_DIR": str(self.run_dir), **self._environment(part)},
            cwd=self._root,
        )

    # Life ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End all at once: what it takes to end in order is for tests that stop a part."""
        self.db.close()
        for process in reversed(self.parts.values()):
            process.kill()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _start_all(self) -> None:
        """Redis first, for the others ask it; these beside each other, for each waits more than it works."""
        if "redis" in self.parts:
            self.start("redis")
        begun = [self._begin(part) for part in self.parts if part != "redis"]
        for wait in begun:
            wait()

    def start(self, part: str) -> None:
        """Start a part and return when it does its work."""
        self._begin(part)()

    def _begin(self, part: str) -> Callable[[], None]:
        """Start a part; what is returned waits until it does its work."""
        process = self.parts[part]
        former_runs = self._runs() if part == "sip" else set()
        former_workers = self.media_workers() if part == "msrp" else set()
        process.start()
        ready: Callable[[], bool] = {
            "redis": self._redis_answers,
            "sip": lambda: answers_options(self.sip) and not self._runs(live=True) & ({""} | former_runs),
            "api": self._api_answers,
            "notifier": lambda: True,
            "msrp": lambda: bool(self.media_workers() - former_workers),
        }[part]
        return lambda: process.wait_until(ready, START_S, f"{part} ready")

    def kill(self, part: str) -> None:
        """End a part as `kill -9` does; Redis alone by its own process, for its file is written on."""
        self.parts[part].kill()

    def stop(self, part: str) -> None:
        """End a part as an operator does."""
        assert self.parts[part].stop() in (0, -signal.SIGTERM, 1), self.logs()

    def replace(self, root: Path, parts: Sequence[str]) -> None:
        """End these parts of a drained node, and start them from another checkout: another release."""
        self._root = root
        for part in parts:
            self.stop(part)
            self.parts[part] = self._process(part)
            self.parts[part].start()
        process = self.parts["api"]
        process.wait_until(lambda: self._api_answers("healthz"), START_S, "api up")

    def restart(self, part: str) -> None:
        """Kill a part and start it again."""
        self.kill(part)
        self.start(part)

    def logs(self, lines: int = 40) -> str:
        """The ends of all parts' logs."""
        return "\n".join(process.log_tail(lines) for process in self.parts.values())

    def _redis_answers(self) -> bool:
        try:
            return bool(self.db.ping())
        except redis.RedisError:
            return False

    def _runs(self, *, live: bool = False) -> set[str]:
        """The starts of our Kamailio that owned shards; with `live` those of all nodes that own now."""
        owners = outbox_views.owners(self.store).values()
        if not live:
            own = f"/{self.sip[0]}:{self.sip[1]}"
            return {owner["run"] for owner in owners if owner.get("node", "").endswith(own)}
        now = clock.now_ms()
        return {owner["run"] if owner and int(owner["until_ms"]) > now else "" for owner in owners}

    def media_workers(self) -> set[str]:
        """The names of the media workers that live."""
        return {one.name for one in msrp_workers.live(self.store)}

    def _api_answers(self, asked: str = "readyz") -> bool:
        # With plain HTTP nothing is read to verify it by: that takes longer than to ask, again and again.
        certificate = self.http.startswith("https:") and api_client.verification(self.config)
        try:
            answer = httpx.get(f"{self.http}/{asked}", trust_env=False, timeout=2, verify=certificate)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    # Pushes --------------------------------------------------------------------------------------

    def submit(
        self,
        to: str | Sequence[str],
        content: bytes = b"hello",
        *,
        app: str = "mms.ua",
        content_type: str = "text/plain",
        headers: Sequence[tuple[str, str]] = (),
        initiator: str = "trusted",
        delivery_method: str = "notspecified",
        push_id: str = "",
        lifetime_ms: int | None = None,
        method: str = "",
    ) -> str:
        """Accept a push and hand it over, as the api does; returns its ref."""
        order_us = clock.order_us()
        now = order_us // 1000
        named = push_id or f"{time.monotonic_ns()}"
        push = Push(
            version=1,
            ref=push_ref(initiator, named),
            initiator=initiator,
            push_id=named,
            application=app,
            content_type=content_type,
            content_headers=tuple(headers),
            size=len(content),
            priority="medium",
            delivery_method=delivery_method,
            notify_url="",
            accepted_ms=now,
            deliver_before_ms=now + (600_000 if lifetime_ms is None else lifetime_ms),
            deadline_given=lifetime_ms is not None,
            source_reference="",
            order_us=order_us,
            method=method,
        )
        recipients = tuple(Recipient(aor, aor) for aor in ([to] if isinstance(to, str) else to))
        results = tuple(Result("pending", TAKEN_CODE, "queued", "", 0, 0, now) for _ in recipients)
        event = Event(now, -1, "accepted", "by a test")
        assert pushes.accept_all(self.store, [Submission(push, recipients, results, content, event)]) == [
            True
        ]
        deliveries = [pushes.delivery_of(push, *item, content) for item in enumerate(recipients)]
        outbox.hand_over(self.store, deliveries)
        pushes.handed_over(self.store, [push.ref])
        return push.ref

    def known(self, ref: str) -> Known:
        """All that is remembered about a push."""
        known = pushes.read(self.store, ref)
        assert known is not None, f"push {ref} is not known"
        return known

    def finished(self, ref: str, deadline_s: float = 10.0) -> Known:
        """The same, once every recipient has its final result."""
        wait_until(
            lambda: all(result.state != "pending" for result in self.known(ref).results),
            deadline_s,
            lambda: f"final result: {self.known(ref)}",
        )
        return self.known(ref)

    def result(self, ref: str, deadline_s: float = 10.0) -> Result:
        """The final result of a push's first recipient."""
        return self.finished(ref, deadline_s).results[0]

    def registration(self, aor: str) -> Registration | None:
        """What is kept about an address of record."""
        return registrations.read(self.store, aor)


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables as TOML; a table's name is written as it is given."""
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def _value(value: object) -> str:
    """Strings, numbers and truth values are the same in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)
