"""`omapush receiver fleet`: a thousand devices in one process."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from omapush import log
from omapush.cli import receiver_arguments as arguments
from omapush.cli import receiver_options as options
from omapush.cli import terminal
from omapush.cli.receiver_device import Behaviour, until_signal
from omapush.receiver import Application, Credentials, FileOffer, Limits, Push
from omapush.receiver.fleet import Fleet, Plan

_Option = typer.Option


def fleet(
    proxy: arguments.Proxy,
    count: Annotated[int, _Option(min=1, help="Number of devices.")] = 1000,
    uri: Annotated[
        str, _Option(help="Public identities; {n} is replaced by the number.")
    ] = "sip:device{n}@home1.example",
    apps: Annotated[
        list[str] | None, _Option("--app", help="Push application of all devices. Repeatable.")
    ] = None,
    sockets: Annotated[int, _Option(min=1, help="Number of sockets that they share.")] = 1,
    at_once: Annotated[int, _Option(min=1, help="Largest number of REGISTERs under way.")] = 100,
    seconds: Annotated[float, _Option(help="Seconds after which to end; 0: at Ctrl-C or SIGTERM.")] = 0.0,
    every: Annotated[float, _Option(help="Seconds between reports; 0: only at the end.")] = 0.0,
    answer: arguments.Answer = "200",
    delay: arguments.Delay = 0.0,
    expires: arguments.Expires = 600_000,
    password: arguments.Password = "",
    any_sender: arguments.AnySender = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Register many devices in one process, take pushes, report registered, received, rate and memory."""
    log.setup("fleet", level="warning", form="logfmt")
    behaviour = Behaviour(options.codes(answer), delay)

    async def on_offer(offer: FileOffer) -> None:
        behaviour.enforce(await behaviour.decide(offer))

    async def on_push(push: Push) -> None:
        if push.method != "INVITE":  # that was decided before it came
            behaviour.enforce(await behaviour.decide(push))
        elif push.path is not None:
            push.path.unlink(missing_ok=True)

    application = Application(on_push, offered=on_offer)
    plan = Plan(count, uri, proxy, dict.fromkeys(apps or ["mms.ua"], application), sockets, at_once)
    settings: dict[str, Any] = {
        "expires_s": expires,
        "credentials": Credentials(password=password),
        "require_identity": not any_sender,
        "limits": Limits(answer_within_s=max(10.0, delay + 5.0), remembered=100),
    }
    failed = asyncio.run(_fleet(Fleet(plan, **settings), seconds, every, as_json=as_json))
    if failed:
        raise terminal.fail(f"{failed} of {count} devices did not register")


async def _fleet(fleet: Fleet, seconds: float, every: float, *, as_json: bool) -> int:
    """Return how many devices did not register."""

    def tell(event: str) -> None:
        report = fleet.report()._asdict()
        if as_json:
            print(json.dumps({"event": event, **report}), flush=True)
        else:
            print(f"{event}: " + ", ".join(f"{name} {value}" for name, value in report.items()), flush=True)

    stop = until_signal()
    await fleet.start()
    tell("registered")
    for reason, times in fleet.failures.most_common(3):
        print(f"fleet: {times} times: {reason}", file=sys.stderr)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds if seconds else float("inf")
    while not stop.is_set() and loop.time() < end:
        wait_s = min(every or float("inf"), end - loop.time())
        try:
            async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                await stop.wait()
        except TimeoutError:
            if loop.time() < end:
                tell("progress")
    tell("report")
    failed = fleet.report().failed
    await fleet.stop()
    return failed
