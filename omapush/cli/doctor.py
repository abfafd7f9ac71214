"""`omapush doctor`: what is wrong with this node, what follows from it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from omapush.cli import access_checks, checks, launch, processes, terminal
from omapush.cli.checks import Finding
from omapush.config import Config
from omapush.store import client
from omapush.store.client import Store

_MARKS: Final = {"ok": "ok", "wrong": "WRONG", "skipped": "-"}


def doctor(
    context: typer.Context, run_dir: processes.RunDir = None, as_json: terminal.AsJson = False
) -> None:
    """Check installation, Redis, Kamailio, api, notifier and media workers; 1 when something is wrong."""
    config = terminal.settings(context)
    control = processes.run_directory(config, run_dir) / "kamailio.ctl"
    findings = [*checks.installed(), checks.private_redis(config), access_checks.passwords(config)]
    findings += _stack(config, control)
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if as_json:
        terminal.print_json([finding._asdict() for finding in findings])
    else:
        show(findings)
    if wrong:
        raise terminal.fail(
            f"{len(wrong)} of {len(findings)} checks failed: {', '.join(one.check for one in wrong)}"
        )


def show(findings: list[Finding]) -> None:
    """Print a line a check, and below a wrong one its effect and what to do."""
    listing = terminal.table("", "CHECK", "FOUND")
    for finding in findings:
        told = [finding.cause]
        if finding.state == "wrong":
            told += [f"effect: {finding.effect}", f"action: {finding.action}"]
        listing.add_row(_MARKS[finding.state], finding.check, "\n".join(told))
    terminal.console().print(listing)


def _stack(config: Config, control: Path) -> Iterator[Finding]:
    """What runs; when nothing does, only whether it could."""
    store = client.connect(config.redis)
    redis, sip, api = checks.redis(config, store), checks.sip(config), checks.api(config)
    if all(finding.state == "wrong" for finding in (redis, sip, api)):
        yield Finding(
            "stack", "skipped", f"nothing of it runs here; start it: {launch.how_to_start('stack')}"
        )
        yield from checks.ports(config)
        return
    yield redis
    if redis.state == "ok":
        yield from _with_redis(store)
    yield sip
    if sip.state == "ok":
        yield checks.memory_manager(control)
        yield checks.shared_memory(control)
        if redis.state == "ok":
            yield checks.shards(config, store)
    yield api
    if redis.state == "ok":
        yield checks.notifier(store)
        yield checks.media_workers(config, store)


def _with_redis(store: Store) -> Iterator[Finding]:
    yield from checks.redis_settings(store)
    yield checks.functions(store)
    yield checks.clocks(store)
