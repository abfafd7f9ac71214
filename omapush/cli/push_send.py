"""`omapush push send`: submit a push, and wait for its end when asked to."""

from __future__ import annotations

import secrets
from datetime import datetime

import typer

from omapush.cli import json_submission, push_progress, submission, terminal
from omapush.cli import push_options as options
from omapush.cli.push_view import outcome_of
from omapush.cli.submission import NotAccepted, Taken
from omapush.config import Config
from omapush.protocol import pap_values as pap
from omapush.push.values import push_ref
from omapush.store import client


def send(
    context: typer.Context,
    application: options.App,
    content_type: options.Type,
    file: options.File,
    to: options.To = None,
    subscribers: options.Subscribers = False,
    method: options.Method = None,
    initiator: options.Name = None,
    push_id: options.PushName = None,
    deliver_before: options.DeliverBefore = None,
    deliver_after: options.DeliverAfter = None,
    replaces: options.Replaces = None,
    pending_only: options.PendingOnly = False,
    priority: options.Priority = pap.Priority.MEDIUM,
    notify_url: options.NotifyUrl = None,
    wait: options.Wait = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Submit a push and print its push-id; exit code 1 if it was refused or, with --wait, not delivered."""
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
        deliver_before=_seconds(deliver_before),
        deliver_after=_seconds(deliver_after),
        replace_push_id=replaces,
        replace_method=pap.ReplaceMethod.PENDING_ONLY if pending_only else pap.ReplaceMethod.ALL,
        priority=priority,
        notify_url=notify_url,
    )
    content = submission.Content(application, content_type, file.read())
    wish = method.value if method else ""
    accepted = _submitted(config, name, message, content, wish, by_json=bool(wish) or subscribers)
    _show(config, push_ref(name, message.push_id), message.push_id, accepted, wait=wait, as_json=as_json)


def _submitted(
    config: Config,
    name: str,
    message: pap.PushMessage,
    content: submission.Content,
    wish: str,
    *,
    by_json: bool,
) -> Taken:
    """By PAP, unless something is wished that only JSON can say; NotAccepted names options, not fields."""
    try:
        if not by_json:
            return submission.submit(config, name, message, content)
        return json_submission.submit(config, name, json_submission.compose(message, content, wish))
    except NotAccepted as refusal:
        raise NotAccepted(refusal.code, options.in_words_of_options(refusal.desc)) from None


def _show(config: Config, ref: str, push_id: str, accepted: Taken, *, wait: bool, as_json: bool) -> None:
    if not as_json:
        print(push_id, flush=True)
    known = push_progress.wait(client.connect(config.redis), ref) if wait else None
    if as_json:
        answer = {"push_id": push_id, "ref": ref, **accepted._asdict()}
        terminal.print_json({**answer, **(outcome_of(known) if known else {})})
    if known is not None:
        push_progress.conclude(known, quiet=as_json)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _only_initiator(config: Config) -> str:
    if len(config.initiator) != 1:
        known = ", ".join(config.initiator) or "none"
        raise typer.BadParameter(
            f"needed: {config.path} has several or no initiators ({known})", param_hint="--initiator"
        )
    return next(iter(config.initiator))
