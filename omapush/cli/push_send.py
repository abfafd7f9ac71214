"""`omapush push send`: submit a push, and wait for its end when asked to."""

from __future__ import annotations

import secrets
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from omapush.cli import json_submission, submission, terminal
from omapush.cli.push_view import outcome_line, recipients
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.protocol import pap_values as pap
from omapush.push.values import PENDING, push_ref
from omapush.store import client, pushes
from omapush.store.client import Store
from omapush.store.pushes import Known

_POLL_S: Final = 0.01


class SipMethod(StrEnum):
    """SIP methods that can be asked for."""

    MESSAGE = "MESSAGE"
    NOTIFY = "NOTIFY"
    REFER = "REFER"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2030-01-31T10:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Name = Annotated[
    str | None, typer.Option("--initiator", metavar="NAME", help="Account in the configuration.")
]


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
    method: Annotated[
        SipMethod | None, typer.Option(case_sensitive=False, help="SIP method; else the server chooses.")
    ] = None,
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
    accepted = (
        submission.submit(config, name, message, content)
        if method is None
        else json_submission.submit(config, name, json_submission.compose(message, content, method.value))
    )
    ref = push_ref(name, message.push_id)
    if not as_json:
        print(message.push_id, flush=True)
    known = _wait(client.connect(config.redis), ref) if wait else None
    if as_json:
        answer = {"push_id": message.push_id, "ref": ref, **accepted._asdict()}
        terminal.print_json({**answer, **({"recipients": recipients(known)} if known else {})})
    if known is not None:
        _conclude(known, quiet=as_json)


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
