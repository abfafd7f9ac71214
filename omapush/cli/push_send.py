"""`omapush push send`: submit a push, and wait for its end when asked to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from omapush.cli import json_submission, push_progress, submission, terminal
from omapush.cli.moments import moment
from omapush.cli.push_view import outcome_of
from omapush.cli.submission import NotAccepted
from omapush.config import Config
from omapush.protocol import pap_values as pap
from omapush.push.pap_offer import NAMES
from omapush.push.values import push_ref
from omapush.store import client


class SipMethod(StrEnum):
    """Methods that can be asked for."""

    MESSAGE = "MESSAGE"
    NOTIFY = "NOTIFY"
    REFER = "REFER"
    INVITE = "INVITE"
    INDIRECT = "INDIRECT"


_OPTIONS: Final = {
    "push_id": "--push-id",
    "to": "--to",
    "application": "--app",
    "content_type": "--type",
    "content": "--file",
    "deliver_before": "--deliver-before",
    "deliver_after": "--deliver-after",
    "replaces": "--replaces",
    "notify_url": "--notify-url",
    "method": "--method",
}
"Field of a push, as `NotTaken` and JSON name it -> the option that gives it."
_BY_FIELD: Final[Mapping[str, str]] = _OPTIONS | {NAMES.get(name, name): _OPTIONS[name] for name in _OPTIONS}
"The same, and by the names of PAP."

Name = Annotated[
    str | None, typer.Option("--initiator", metavar="NAME", help="Account in the configuration.")
]


def send(
    context: typer.Context,
    application: Annotated[
        str, typer.Option("--app", metavar="ARI", help="Push application, such as mms.ua.")
    ],
    content_type: Annotated[str, typer.Option("--type", metavar="MIME", help="Content type.")],
    file: Annotated[
        typer.FileBinaryRead, typer.Option("--file", metavar="FILE", help="Content; - reads standard input.")
    ],
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="URI", help="Recipient; may be given several times.")
    ] = None,
    subscribers: Annotated[
        bool, typer.Option("--subscribers", help="To all subscribers of the application, by NOTIFY.")
    ] = False,
    method: Annotated[
        SipMethod | None, typer.Option(case_sensitive=False, help="How it travels; else the server chooses.")
    ] = None,
    initiator: Name = None,
    push_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of this push; else one is made up.")
    ] = None,
    deliver_before: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="ISO", help="Not sent any more from then on; UTC."),
    ] = None,
    deliver_after: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="ISO", help="Not sent before; UTC."),
    ] = None,
    replaces: Annotated[
        str | None, typer.Option(metavar="ID", help="Push-id of the push whose place it takes.")
    ] = None,
    pending_only: Annotated[
        bool, typer.Option("--pending-only", help="With --replaces: only for those who wait for that one.")
    ] = False,
    priority: Annotated[
        pap.Priority, typer.Option(case_sensitive=False, help="What goes first of all that waits.")
    ] = pap.Priority.MEDIUM,
    notify_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the result shall be told.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all recipients have a final state.")
    ] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Submit a push and print its push-id; 1 when it was refused or, with --wait, not delivered."""
    if subscribers == bool(to):
        raise typer.BadParameter("needed: either --to or --subscribers", param_hint="--to")
    if pending_only and not replaces:
        raise typer.BadParameter("only with --replaces", param_hint="--pending-only")
    if push_id and not push_id.isprintable():  # XML would make blanks of line ends, and it another name
        raise typer.BadParameter("not 1 to 256 printable characters", param_hint="--push-id")
    config = terminal.settings(context)
    name = initiator or _only_initiator(config)
    message = pap.PushMessage(
        push_id=push_id or f"{secrets.token_hex(8)}@{name}.cli",
        addresses=tuple(to or ()),
        deliver_before=None if deliver_before is None else int(deliver_before.timestamp()),
        deliver_after=None if deliver_after is None else int(deliver_after.timestamp()),
        replace_push_id=replaces,
        replace_method=pap.ReplaceMethod.PENDING_ONLY if pending_only else pap.ReplaceMethod.ALL,
        priority=priority,
        notify_url=notify_url,
    )
    content = submission.Content(application, content_type, file.read())
    try:
        if method is None and not subscribers:
            accepted = submission.submit(config, name, message, content)
        else:
            wish = method.value if method else ""
            accepted = json_submission.submit(config, name, json_submission.compose(message, content, wish))
    except NotAccepted as refusal:
        raise NotAccepted(refusal.code, in_words_of_options(refusal.desc)) from None
    ref = push_ref(name, message.push_id)
    if not as_json:
        print(message.push_id, flush=True)
    known = push_progress.wait(client.connect(config.redis), ref) if wait else None
    if as_json:
        answer = {"push_id": message.push_id, "ref": ref, **accepted._asdict()}
        terminal.print_json({**answer, **(outcome_of(known) if known else {})})
    if known is not None:
        push_progress.conclude(known, quiet=as_json)


def in_words_of_options(desc: str) -> str:
    """Return why a push was refused, with the option in place of the field that PAP or JSON names first."""
    field, colon, problem = desc.partition(": ")
    return f"{_BY_FIELD.get(field, field)}{colon}{problem}"


def _only_initiator(config: Config) -> str:
    if len(config.initiator) != 1:
        known = ", ".join(config.initiator) or "none"
        raise typer.BadParameter(
            f"needed: {config.path} has several or no initiators ({known})", param_hint="--initiator"
        )
    return next(iter(config.initiator))
