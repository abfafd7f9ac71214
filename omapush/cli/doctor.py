"""`omapush doctor`: what is wrong with this node, what follows from it, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import typer

from omapush.cli import (
    access_checks,
    checks,
    core_checks,
    file_checks,
    kamailio_checks,
    launch,
    processes,
    redis_checks,
    redis_words,
    terminal,
)
from omapush.cli.checks import Finding
from omapush.config import Config
from omapush.errors import PushError
from omapush.store import client, nodes
from omapush.store.client import Store

_MARKS: Final = {"ok": "ok", "wrong": "WRONG", "warning": "not yet", "skipped": "-"}


def doctor(
    context: typer.Context, run_dir: processes.RunDir = None, as_json: terminal.AsJson = False
) -> None:
    """Check installation, files, Redis, our processes and the core; exit code 1 if something is wrong."""
    config = terminal.settings(context)
    control = processes.run_directory(config, run_dir) / "kamailio.ctl"
    findings = look(config, control)
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if as_json:
        terminal.print_json([finding._asdict() for finding in findings])
    else:
        show(findings)
    if wrong:
        raise terminal.fail(
            f"{len(wrong)} of {len(findings)} checks failed: {', '.join(one.check for one in wrong)}"
        )


def look(config: Config, control: Path) -> list[Finding]:
    """Return what all checks find; `control` is Kamailio's control socket."""
    findings = [*checks.installed(), file_checks.interpreter(checks.embedded_python())]
    findings += [checks.private_redis(config), access_checks.passwords(config)]
    findings += [file_checks.secret_files(config), file_checks.folders(config), file_checks.disks(config)]
    findings += [
        *file_checks.certificates(config),
        *file_checks.revocation_lists(config),
        file_checks.open_files(),
        core_checks.domains(config),
    ]
    return [*findings, *_stack(config, control)]


def show(findings: list[Finding]) -> None:
    """Print a line a check, and below one that has them its effect and what to do."""
    listing = terminal.table("", "CHECK", "FOUND")
    for finding in findings:
        told = [finding.cause]
        if finding.effect:
            told += [f"effect: {finding.effect}", f"action: {finding.action}"]
        listing.add_row(_MARKS[finding.state], finding.check, "\n".join(told))
    terminal.console().print(listing)


def _stack(config: Config, control: Path) -> Iterator[Finding]:
    """What runs; when nothing does, only whether it could."""
    store = client.connect(config.redis)
    redis, sip, api = checks.redis(config, store), checks.sip(config), checks.api(config)
    if all(finding.state == "wrong" for finding in (redis, sip, api)):
        if redis_words.answers(redis.cause) or not config.redis.url.startswith("unix:"):
            yield redis
        yield _nothing_runs(launch.PACKAGED)
        yield from checks.ports(config)
        return
    yield redis
    if redis.state == "ok":
        yield from _with_redis(config, store)
    yield sip
    if sip.state == "ok":
        yield kamailio_checks.memory_manager(control)
        yield kamailio_checks.shared_memory(control)
        if redis.state == "ok":
            yield checks.shards(config, store)
    yield api
    if redis.state == "ok":
        yield checks.notifier(store)
        yield checks.media_workers(config, store)
    yield from core_checks.next_hop(config)
    yield core_checks.next_hop_names(config)
    yield from core_checks.back_ends(config)


def _nothing_runs(is_node: bool) -> Finding:
    """What it means: a fault where the package has brought us as services, in a checkout the usual state."""
    start = launch.how_to_start("stack")
    if not is_node:
        return checks.skipped("stack", f"nothing of it runs here; start it: {start}")
    effect = "pushes are not accepted, registrations not seen; what was accepted waits"
    return checks.found_wrong("stack", "nothing of it runs here", effect, start)


def _with_redis(config: Config, store: Store) -> Iterator[Finding]:
    """Where Redis does not let one of them look, the others do all the same."""
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        "redis itself": lambda: redis_checks.itself(store),
        "redis settings": lambda: redis_checks.settings(store),
        "redis restarts": lambda: redis_checks.restarts(config.redis, store),
        "functions": lambda: [checks.functions(store)],
        "clock": lambda: [checks.clocks(store)],
        "processes": lambda: _of_nodes(config, store),
    }
    for name, look_at in looks.items():
        try:
            yield from look_at()
        except PushError as error:
            yield checks.skipped(name, f"Redis does not tell: {error}")


def _of_nodes(config: Config, store: Store) -> Iterator[Finding]:
    signs = nodes.live(store)
    yield from core_checks.processes(config, signs)
    yield core_checks.node_clocks(signs)
    yield core_checks.configurations(signs)
