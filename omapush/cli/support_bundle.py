"""`omapush support-bundle`: what who helps needs to know, in one file, without contents and secrets."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import typer

from omapush import clock
from omapush.cli import api_client, doctor, processes, terminal, version
from omapush.config import Config, keys
from omapush.errors import PushError, PushRefused
from omapush.store import client, nodes, outbox, outbox_views
from omapush.store.client import Store, store_errors

_LAST_BYTES: Final = 1_048_576
"Of each log."
_ANSWER_S: Final = 5.0
_SHORTEST_SECRET: Final = 6
"Characters from which on a secret is looked for in all texts; a shorter one would take words apart."
_STARS: Final = "***"
_SECRET_OPTION: Final = re.compile(r"-a|--(k|op|opc|.*(pass|secret|auth|token).*)")
"Of `omapush receiver run`, whose SIM it may name, of redis-server, and of whatever runs beside them."
_INFO: Final = ("server", "clients", "memory", "persistence", "stats", "replication", "cpu", "keyspace")


def support_bundle(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(dir_okay=False, help="The .tar.gz to write; the file must not exist.")
    ],
    log: Annotated[
        list[Path] | None,
        typer.Option("--log", dir_okay=False, help="Log file whose end is included; repeatable."),
    ] = None,
    run_dir: processes.RunDir = None,
) -> None:
    """Collect configuration, versions, findings of the doctor, metrics and states in a file for support."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    control = processes.run_directory(config, run_dir) / "kamailio.ctl"
    makers: dict[str, Callable[[], str]] = {
        "configuration.txt": lambda: _configuration(config),
        "versions.txt": _versions,
        "doctor.json": lambda: _json([one._asdict() for one in doctor.look(config, control)]),
        "nodes.json": lambda: _json([sign._asdict() for sign in nodes.live(store)]),
        "queues.json": lambda: _queues(store),
        "redis.txt": lambda: _redis(store),
        "metrics.txt": lambda: _metrics(config),
        "processes.txt": lambda: "\n".join(_processes()),
        **{f"log-{number}-{one.name}": _end_of(one) for number, one in enumerate(log or (), 1)},
    }
    hidden = sorted(secrets_of(config), key=len, reverse=True)
    parts = {name: _without(hidden, _made(make)) for name, make in makers.items()}
    _write(file, parts)
    print(f"{file}: {', '.join(parts)}. No contents and no secrets; logs name users.")


def _made(make: Callable[[], str]) -> str:
    """Return a part, or why it could not be had: a bundle is for installations that do not work."""
    try:
        return make()
    except (PushError, OSError, httpx.HTTPError, ValueError) as error:
        return f"not to be had: {type(error).__name__}: {error}"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _configuration(config: Config) -> str:
    return "\n".join(f"{key} = {value.shown}" for key, value in keys.values(config).items())


def _versions() -> str:
    packages = sorted(f"{one.name} {one.version}" for one in importlib.metadata.distributions())
    lines = (
        f"written {clock.iso(clock.now_ms())}",
        f"machine {platform.node()} {platform.platform()}, {os.cpu_count()} processors",
        f"omapush {version.release()}",
        f"python {sys.version}",
        f"functions {client.release()}",
        _said("kamailio", "-v"),
        _said("redis-server", "--version"),
        *packages,
    )
    return "\n".join(lines)


def _said(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - commands of this module, without a shell
            command, capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    return done.stdout.strip() or done.stderr.strip()


def _queues(store: Store) -> str:
    return _json({"outbox": outbox.depth(store)._asdict(), "user shards": outbox_views.owners(store)})


def _redis(store: Store) -> str:
    with store_errors("info"):
        told = [(one, section) for one in client.servers(store) for section in _INFO]
        lines = [f"{name}: {value}" for one, part in told for name, value in one.info(part).items()]
    return "\n".join(lines)


def _metrics(config: Config) -> str:
    answer = httpx.get(
        api_client.url(config, "/metrics"),
        timeout=_ANSWER_S,
        trust_env=False,
        verify=api_client.verification(config),
    )
    return answer.text


def _processes() -> Iterator[str]:
    """What runs of ours on this machine, as far as this user may see it; never the environment."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        try:
            words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            status = (folder / "status").read_text()
            number = len(list((folder / "fd").iterdir()))
        except OSError:
            continue
        if any(name in word for word in words[:4] for name in ("omapush", "kamailio", "redis-server")):
            facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            memory, threads = facts.get("RssAnon", "?").strip(), facts.get("Threads", "?").strip()
            yield f"{folder.name} {memory} {threads} threads {number} files: {command_line(words)}"


def command_line(words: Sequence[str]) -> str:
    """Return a command as it was typed, without the values of options that are secrets."""
    shown: list[str] = []
    for word in words:
        option, is_one, _ = word.partition("=")
        if shown and _SECRET_OPTION.fullmatch(shown[-1]):
            shown.append(_STARS)
        elif is_one and _SECRET_OPTION.fullmatch(option):
            shown.append(f"{option}={_STARS}")
        else:
            shown.append(word)
    return " ".join(shown).strip()


def _end_of(file: Path) -> Callable[[], str]:
    def read() -> str:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - _LAST_BYTES))
            return log.read().decode("utf-8", "replace")

    return read


def secrets_of(config: Config) -> set[str]:
    """Return all secrets that the configuration has or names; whatever text holds one is to lose it."""
    found: set[str] = set()
    for key, value in keys.values(config).items():
        name = key.rpartition(".")[2]
        real = value.real if isinstance(value.real, tuple) else (value.real,)
        texts = [one for one in real if isinstance(one, str) and one]
        if keys.is_secret(name):
            found.update(texts)
        elif name.endswith(("password_file", "key_file", "secret_files", "content_keys")):
            found.update(_first_line(one) for one in texts)
        found.update(part for one in texts if "://" in one for part in _of_url(one))
    return {one for one in found if len(one) >= _SHORTEST_SECRET}


def _first_line(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _of_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        yield from (part for part in (parts.password, unquote(parts.password or ""), parts.query) if part)
        yield from (value for _, value in parse_qsl(parts.query))
    except ValueError:
        return


def _without(hidden: list[str], text: str) -> str:
    for one in hidden:
        text = text.replace(one, _STARS)
    return text


def _write(file: Path, parts: dict[str, str]) -> None:
    """
    Write the bundle, for this user alone.

    Raises:
        PushRefused: the file is there, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise PushRefused(f"{file}: {error.strerror}; name a file that is not there") from error
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as bundle:
        for name, text in parts.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"omapush-support/{name}")
            entry.size, entry.mtime, entry.mode = len(data), clock.now_ms() // 1000, 0o600
            bundle.addfile(entry, io.BytesIO(data))
