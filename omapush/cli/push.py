"""`omapush push`: submit a push, look at one, explain what happened to it."""

from __future__ import annotations

import re
import secrets
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from omapush import clock
from omapush.cli import explanation, ladder, submission, terminal
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.protocol import pap_values as pap
from omapush.push.values import PENDING, REF_LENGTH, Result, push_ref
from omapush.store import client, pushes
from omapush.store.client import Store
from omapush.store.pushes import Known

app = typer.Typer(help="Submit a push, look at one, explain one.", no_args_is_help=True)

_REF: Final = re.compile(rf"[0-9a-f]{{{REF_LENGTH}}}")
_POLL_S: Final = 0.01


class SipMethod(StrEnum):
    """SIP methods that can be asked for."""

    MESSAGE = "message"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2030-01-31T10:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Name = Annotated[
    str | None, typer.Option("--initiator", metavar="NAME", help="Account in the configuration.")
]
PushId = Annotated[str, typer.Argument(metavar="ID", help="Push-id, or our own reference of 20 digits.")]


@app.command()
def send(
    context: typer.Context,
    to: Annotated[
        list[str], typer.Option("--to", metavar="URI", help="Recipient; may be given several times.")
    ],
    application: Annotated[
        str, typer.Option("--app", metavar="ARI", help="Push application, such as mms.ua.")
    ],
    content_type: Annotated[str, typer.Option("--type", metavar="MIME", help="Content type.")],
    file: Annotated[
        typer.FileBinaryRead, typer.Option("--file", metavar="FILE", help="Content; - reads standard input.")
    ],
    method: Annotated[SipMethod | None, typer.Option(help="SIP method; this release has one.")] = None,
    initiator: Name = None,
    push_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of this push; else one is made up.")
    ] = None,
    deliver_before: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="ISO", help="Not sent any more from then on; UTC."),
    ] = None,
    notify_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the result shall be told.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all recipients have a final state.")
    ] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Submit a push and print its push-id; 1 when it was refused or, with --wait, not delivered."""
    config = terminal.settings(context)
    name = initiator or _only_initiator(config)
    message = pap.PushMessage(
        push_id=push_id or f"{secrets.token_hex(8)}@{name}.cli",
        addresses=tuple(to),
        deliver_before=None if deliver_before is None else int(deliver_before.timestamp()),
        notify_url=notify_url,
    )
    content = submission.Content(application, content_type, file.read())
    response = submission.submit(config, name, message, content)
    ref = push_ref(name, message.push_id)
    if not as_json:
        print(message.push_id, flush=True)
    known = _wait(client.connect(config.redis), ref) if wait else None
    if as_json:
        answer = {"push_id": message.push_id, "ref": ref, "code": response.code, "desc": response.desc or ""}
        terminal.print_json({**answer, **({"recipients": _recipients(known)} if known else {})})
    if known is not None:
        _conclude(known, quiet=as_json)


@app.command()
def show(
    context: typer.Context, push: PushId, initiator: Name = None, as_json: terminal.AsJson = False
) -> None:
    """Show a push and the state of each recipient."""
    config = terminal.settings(context)
    known = find(client.connect(config.redis), config, push, initiator)
    if as_json:
        terminal.print_json(as_dict(known))
        return
    console = terminal.console()
    console.print(_summary(known))
    listing = terminal.table("RECIPIENT", "STATE", "CODE", "SIP", "METHOD", "TRIES", "AFTER", "WHY")
    for recipient, result in zip(known.recipients, known.results, strict=True):
        listing.add_row(
            recipient.address,
            result.state,
            result.code,
            terminal.sip_status(result.sip_code) if result.sip_code else "-",
            result.method or "-",
            str(result.attempts),
            terminal.span(result.at_ms - known.push.accepted_ms),
            result.desc,
        )
    console.print()
    console.print(listing)


@app.command()
def explain(
    context: typer.Context, push: PushId, initiator: Name = None, as_json: terminal.AsJson = False
) -> None:
    """Show what happened to a push, step by step, where it is now, and what comes next."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    known = find(store, config, push, initiator)
    standings = explanation.standings(config, store, known, clock.now_ms())
    if as_json:
        terminal.print_json({**as_dict(known), "standings": [standing._asdict() for standing in standings]})
        return
    console = terminal.console()
    console.print(_summary(known))
    console.print()
    for line in ladder.draw(known, width=console.width):
        console.print(line, soft_wrap=True)
    for index, standing in enumerate(standings):
        whom = f"[{index}] {standing.address}" if len(standings) > 1 else standing.address
        console.print(f"\n{whom}\n  now:  {standing.now}\n  next: {standing.next}", soft_wrap=True)


def find(store: Store, config: Config, push: str, initiator: str | None) -> Known:
    """
    Return the push of this push-id or reference.

    Raises:
        PushRefused: there is none, or several initiators used the push-id.
    """
    names = [initiator] if initiator else list(config.initiator)
    refs = [push_ref(name, push) for name in names]
    if _REF.fullmatch(push):
        refs.insert(0, push)
    found = [known for ref in dict.fromkeys(refs) if (known := pushes.read(store, ref)) is not None]
    if not found:
        raise PushRefused(
            f"no push {push} is known of {', '.join(names) or 'any initiator'}; finished ones are remembered "
            f"for {terminal.span(config.delivery.retention_s * 1000)}"
        )
    if len(found) > 1:
        both = ", ".join(known.push.initiator for known in found)
        raise PushRefused(f"{push} is a push-id of {both}; choose one with --initiator")
    return found[0]


def as_dict(known: Known) -> dict[str, Any]:
    """Return a push as `--json` shows it."""
    push = known.push
    return {
        "push_id": push.push_id,
        "ref": push.ref,
        "initiator": push.initiator,
        "application": push.application,
        "content_type": push.content_type,
        "bytes": push.size,
        "accepted": clock.iso(push.accepted_ms),
        "deliver_before": clock.iso(push.deliver_before_ms),
        "notify_url": push.notify_url,
        "recipients": _recipients(known),
        "events": [{**event._asdict(), "at": clock.iso(event.at_ms)} for event in known.events],
    }


def outcome_line(result: Result, accepted_ms: int) -> str:
    """Return one final result for people: `delivered  200 OK  MESSAGE  in 12 ms`."""
    told = [
        result.state,
        terminal.sip_status(result.sip_code) if result.method or result.sip_code else "not sent",
    ]
    if result.method:
        told.append(result.method)
    told.append(f"in {terminal.span(result.at_ms - accepted_ms)}")
    if result.state != "delivered":
        told.append(f"{result.code} {result.desc}")
    return "  ".join(told)


def _recipients(known: Known) -> list[dict[str, Any]]:
    return [
        {**recipient._asdict(), **result._asdict(), "at": clock.iso(result.at_ms)}
        for recipient, result in zip(known.recipients, known.results, strict=True)
    ]


def _summary(known: Known) -> Any:
    push = known.push
    return terminal.pairs(
        (
            ("push-id", push.push_id),
            ("reference", push.ref),
            ("initiator", push.initiator),
            ("application", push.application),
            ("content", f"{push.content_type}, {push.size} bytes"),
            ("accepted", clock.iso(push.accepted_ms)),
            ("deliver before", clock.iso(push.deliver_before_ms) if push.deadline_given else ""),
            ("results to", push.notify_url),
        )
    )


def _only_initiator(config: Config) -> str:
    if len(config.initiator) != 1:
        known = ", ".join(config.initiator) or "none"
        raise typer.BadParameter(
            f"needed: {config.path} has several or no initiators ({known})", param_hint="--initiator"
        )
    return next(iter(config.initiator))


def _wait(store: Store, ref: str) -> Known:
    """Show progress on standard error until all recipients are final."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("waiting for results", total=None)
        while True:
            known = pushes.read(store, ref)
            if known is None:
                raise PushRefused("the push is not in the store: do api and command line use the same Redis?")
            pending = [result.desc for result in known.results if result.state == PENDING]
            total = len(known.results)
            why = next((desc for desc in pending if desc), "waiting for results")
            progress.update(task, total=total, completed=total - len(pending), description=why)
            if not pending:
                return known
            time.sleep(_POLL_S)


def _conclude(known: Known, *, quiet: bool) -> None:
    """Print the results; exit 1 when one is not delivered."""
    for recipient, result in zip(known.recipients, known.results, strict=True):
        if not quiet:
            whom = f"{recipient.address}  " if len(known.recipients) > 1 else ""
            print(whom + outcome_line(result, known.push.accepted_ms))
    failed = sum(result.state != "delivered" for result in known.results)
    if failed:
        sys.stdout.flush()
        hint = f"omapush push explain {known.push.push_id}"
        raise terminal.fail(f"not delivered to {failed} of {len(known.results)} recipients; why: {hint}")
