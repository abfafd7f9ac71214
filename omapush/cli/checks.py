"""What `omapush doctor` looks at; each check says what is wrong, what follows from it, and what to do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import httpx

from omapush import clock
from omapush.cli import api_client, launch, processes, redis_words
from omapush.config import Config
from omapush.pap_http import probes
from omapush.store import client, msrp_workers, outbox, outbox_views, pushes
from omapush.store.client import Store, store_errors

State = Literal["ok", "wrong", "warning", "skipped"]

OLDEST_KAMAILIO: Final = (5, 6)
_REFUSED: Final = ("NOAUTH", "WRONGPASS", "AuthenticationError", "invalid username")
"How Redis, or its client library, says that a password or its absence is wrong."
_LARGEST_CLOCK_OFFSET_MS: Final = 500
_OVERDUE_MS: Final = 30_000
"Work that the notifier does within seconds while it runs."
_ANSWER_WITHIN_S: Final = 5.0
_KAMCMD_WITHIN_S: Final = 10

_VERSION: Final = re.compile(r"version: kamailio ([0-9]+)\.([0-9]+)(\S*)")
_MODULES: Final = re.compile(r"Default paths to modules: (\S+)")
_LIBPYTHON: Final = re.compile(rb"libpython([0-9])\.([0-9]{1,2})")
_LOADMODULE: Final = re.compile(r'^loadmodule "([^"]+)"', re.MULTILINE)


class Finding(NamedTuple):
    """The outcome of one check."""

    check: str
    state: State
    cause: str
    "What was found."
    effect: str = ""
    action: str = ""


def found_ok(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "ok", found)


def skipped(check: str, why: str) -> Finding:
    """Return that there is nothing to be checked."""
    return Finding(check, "skipped", why)


def found_wrong(check: str, cause: str, effect: str, action: str) -> Finding:
    """Return what is wrong, what follows from it, and what to do."""
    return Finding(check, "wrong", cause, effect, action)


def found_missing(check: str, cause: str, effect: str, action: str) -> Finding:
    """Return what nobody has set up yet: it has an effect, and is no fault of what was."""
    return Finding(check, "warning", cause, effect, action)


# ---- what is installed ----------------------------------------------------------------------------------


def installed() -> Iterator[Finding]:
    """Check the programs that the processes are."""
    effect = "the SIP side cannot start"
    said = output_of(["kamailio", "-v"])
    version = _VERSION.search(said)
    if version is None:
        yield found_wrong(
            "kamailio", said.strip() or "does not say its version", effect, "apt-get install kamailio"
        )
        return
    text = f"{version[1]}.{version[2]}{version[3]}"
    if (int(version[1]), int(version[2])) < OLDEST_KAMAILIO:
        yield found_wrong("kamailio", f"version {text}", effect, "install Kamailio 5.6 or later")
    else:
        yield found_ok("kamailio", f"version {text}")
    yield _modules()


def _module_folders() -> list[Path]:
    where = _MODULES.search(output_of(["kamailio", "-I"]))
    return [Path(folder) for folder in where[1].split(":")] if where else []


def embedded_python() -> tuple[int, int] | None:
    """Return the version of the interpreter that Kamailio's module is linked with; None: not known."""
    for folder in _module_folders():
        module = folder / "app_python3.so"
        if module.exists() and (linked := _LIBPYTHON.search(module.read_bytes())):
            return int(linked[1]), int(linked[2])
    return None


def _modules() -> Finding:
    folders = _module_folders()
    if not folders:
        return skipped("modules", "this Kamailio does not say where its modules are")
    wanted = _LOADMODULE.findall((launch.ROOT / "kamailio.cfg").read_text(encoding="utf-8"))
    missing = [name for name in wanted if not any((folder / name).exists() for folder in folders)]
    if missing:
        action = "apt-get install kamailio kamailio-python3-modules kamailio-tls-modules"
        return found_wrong("modules", f"missing: {', '.join(missing)}", "the SIP side cannot start", action)
    return found_ok("modules", f"all {len(wanted)} of kamailio.cfg")


def private_redis(config: Config) -> Finding:
    """Check that the Redis that we would start is installed."""
    if not config.redis.url.startswith("unix:"):
        return skipped("redis-server", "redis.url names a Redis of yours")
    if shutil.which("redis-server") is None:
        return found_wrong(
            "redis-server", "not installed", "there is no store", "apt-get install redis-server"
        )
    return found_ok("redis-server", "installed")


def output_of(command: list[str]) -> str:
    """Return what a command says, to either stream; or why it could not be asked."""
    try:
        done = subprocess.run(  # noqa: S603 - commands of this module, without a shell
            command,
            capture_output=True,
            text=True,
            timeout=_KAMCMD_WITHIN_S,
            check=False,
            env={**os.environ, "PATH": path()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {getattr(error, 'strerror', None) or error}"
    return done.stdout + done.stderr


def path() -> str:
    """Return where programs are looked for: also in the folders of services, which users have not."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def ports(config: Config) -> Iterator[Finding]:
    """Check that our addresses are free; asked when nothing of ours runs."""
    for listen, key in (
        *((one, "sip.listen") for one in config.sip.listen),
        (f"tcp:{config.api.listen}", "api.listen"),
    ):
        problem = processes.why_taken(*processes.endpoint(listen))
        if problem:
            action = f"stop the program that has it, or change {key}"
            yield found_wrong(listen, problem, "this address cannot be listened on", action)
        else:
            yield found_ok(listen, "free")


# ---- Redis ----------------------------------------------------------------------------------------------


def redis(config: Config, store: Store) -> Finding:
    """Check that Redis answers."""
    problem = asyncio.run(probes.problem_of_redis(store))
    if any(word in problem for word in _REFUSED):
        effect = "no process can do anything"
        action = "correct redis.url or redis.password_file, or the user in Redis (ACL)"
        return found_wrong("redis", f"{config.redis.shown} refuses us: {problem}", effect, action)
    if problem:
        effect = "PAP answers 503, SIP 503; nothing is lost and nothing moves"
        finding = f"{config.redis.shown}: {problem}"
        return found_wrong("redis", finding, effect, redis_words.action(problem))
    return found_ok("redis", config.redis.shown)


def functions(store: Store) -> Finding:
    """Check that Redis has this release's functions; it gets them with the first call."""
    with store_errors("function list"):
        lists = [one.function_list("omapush_*") for one in client.servers(store)]
    there = set.intersection(*({_library(answer) for answer in one} for one in lists))
    ours = client.libraries()
    missing = len(ours.keys() - there)
    if missing:
        finding = f"{missing} of our {len(ours)} are not in Redis yet: the first call loads them"
        return skipped("functions", finding)
    return found_ok("functions", f"all {len(ours)} of {client.release()}")


def _library(answer: Iterable[Any]) -> str:
    """Name of one library; names and values take turns in the answer."""
    values = list(answer)
    name: bytes = dict(zip(values[::2], values[1::2], strict=True))[b"library_name"]
    return name.decode()


def clocks(store: Store) -> Finding:
    """Check our clock against that of Redis: leases and retries compare the two."""
    before_ms = clock.now_ms()
    with store_errors("time"):
        seconds, microseconds = store.db.time()
    offset_ms = seconds * 1000 + microseconds // 1000 - (before_ms + clock.now_ms()) // 2
    if abs(offset_ms) > _LARGEST_CLOCK_OFFSET_MS:
        effect = "retries and expiry come at the wrong time, results show wrong times"
        return found_wrong("clock", f"{offset_ms} ms from that of Redis", effect, "run NTP on both machines")
    return found_ok("clock", f"{offset_ms} ms from that of Redis")


# ---- Kamailio -------------------------------------------------------------------------------------------


def sip(config: Config) -> Finding:
    """Check that a SIP worker answers."""
    problem = asyncio.run(probes.problem_of_kamailio(config))
    if problem:
        return found_wrong(
            "sip",
            problem,
            "nothing is delivered, registrations are missed",
            f"start it: {launch.how_to_start('sip')}",
        )
    return found_ok("sip", f"answers OPTIONS at {config.sip.listen[0]}")


def shards(config: Config, store: Store) -> Finding:
    """Check that each user shard has an owner: one without sends nothing."""
    now_ms = clock.now_ms()
    owners = outbox_views.owners(store)
    free = [number for number, owner in owners.items() if int(owner.get("until_ms", 0)) <= now_ms]
    if free:
        cause = f"{len(free)} of {len(owners)} have no owner: {', '.join(map(str, free))}"
        action = f"wait {config.delivery.lease_ms} ms; if they stay, look into the log of omapush sip"
        return found_wrong("user shards", cause, "pushes to their users wait", action)
    return found_ok("user shards", f"all {len(owners)} have an owner")


# ---- api and notifier -----------------------------------------------------------------------------------


def api(config: Config) -> Finding:
    """Check that the HTTP front answers."""
    url = api_client.url(config, "/healthz")
    try:
        answer = httpx.get(
            url, timeout=_ANSWER_WITHIN_S, trust_env=False, verify=api_client.verification(config)
        )
        problem = "" if answer.is_success else f"answered {answer.status_code}"
    except httpx.HTTPError as error:
        problem = str(error)
    if problem:
        return found_wrong(
            "api", f"{url}: {problem}", "no push is taken", f"start it: {launch.how_to_start('api')}"
        )
    return found_ok("api", f"answers at {config.api.listen}")


def media_workers(config: Config, store: Store) -> Finding:
    """Check that somebody carries the content of sessions."""
    if not config.sessions.enabled:
        return Finding("media workers", "skipped", "sessions.enabled is false")
    live = msrp_workers.live(store)
    if not live:
        effect = "pushes that need a session are tried again by plan, and then end"
        return found_wrong(
            "media workers",
            "none lives",
            effect,
            f"start one: {launch.how_to_start('msrp@1' if launch.PACKAGED else 'msrp')}",
        )
    streams, room = sum(one.streams for one in live), sum(one.most for one in live)
    if not any(one.has_room for one in live):
        cause = f"all {len(live)} are full: {streams} contents"
        effect = "further pushes that need a session are tried again by plan, and then end"
        return found_wrong(
            "media workers", cause, effect, "more workers (msrp.workers), or more msrp.streams"
        )
    return found_ok("media workers", f"{len(live)} live and carry {streams} of {room} contents")


def notifier(store: Store) -> Finding:
    """Check that no work of the notifier is overdue; without any, nothing tells whether it runs."""
    before_ms = clock.now_ms() - _OVERDUE_MS
    late = {
        "pushes not handed over": len(pushes.not_handed_over(store, before_ms)),
        "lost deliveries not sent again": len(outbox.overdue(store, since_ms=_OVERDUE_MS)),
    }
    text = ", ".join(f"{number} {what}" for what, number in late.items() if number)
    if text:
        effect = "retries and result notifications do not happen"
        return found_wrong("notifier", text, effect, f"start it: {launch.how_to_start('notifier')}")
    return found_ok("notifier", "none of its work is overdue")
