"""`omapush hosted`: what waits for applications behind this server, and what failed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omapush import clock
from omapush.cli import audit_note, hosted_subscriptions, terminal
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.store import client, hosted_leftovers
from omapush.store import hosted as store
from omapush.store.hosted import Listed


def hosted(
    context: typer.Context,
    application: Annotated[
        str,
        typer.Argument(
            metavar="[APP]", help="One application, such as mms.ua; default: all that have anything here."
        ),
    ] = "",
    retry: Annotated[
        bool, typer.Option("--retry", help="Send the pushes that were given up to the back end of APP again.")
    ] = False,
    subscribe: Annotated[
        bool, typer.Option("--subscribe", help="Refresh the subscriptions of APP now, or make new ones.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete all pushes for APP, if the configuration has it no more.")
    ] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Show the hosted applications: their subscriptions, and the pushes that wait or have failed."""
    settings = terminal.settings(context)
    db = client.connect(settings.redis)
    if forget:
        _forget(settings, db, application, as_json=as_json)
        return
    if subscribe:
        audit_note.note(settings, "hurry-subscriptions", application)
        hosted_subscriptions.hurry(settings, db, application, as_json=as_json)
        return
    if retry:
        audit_note.note(settings, "retry-hosted", application)
        _retry(db, application, as_json=as_json)
        return
    left = [
        name for name in hosted_leftovers.unserved(db, settings.hosted) if hosted_leftovers.number(db, name)
    ]
    names = [application] if application else [*settings.hosted, *sorted(left)]
    now_ms = clock.now_ms()
    found = {name: store.everything(db, name) for name in names}
    streams = {name: store.streamed(db, name) for name in names}
    watched = hosted_subscriptions.read(settings, db, names)
    if as_json:
        terminal.print_json(
            [
                _as_dict(settings, name, found[name], streams[name])
                | {"subscriptions": hosted_subscriptions.as_dicts(watched[name])}
                for name in names
            ]
        )
        return
    summary = terminal.table("application", "back end", "waiting", "failed", "in streams")
    listing = terminal.table(
        "application", "recipient", "sender", "type", "bytes", "tries", "next", "last", "id"
    )
    for name in names:
        failed = sum(1 for one in found[name] if not one.due_ms)
        waiting, kind = len(found[name]) - failed, _kind(settings, name)
        summary.add_row(name, kind, str(waiting), str(failed), str(streams[name]))
        for one in found[name]:
            listing.add_row(*_row(one, now_ms))
    terminal.console().print(summary)
    if any(watched.values()):
        terminal.console().print(hosted_subscriptions.table(watched, now_ms))
    if listing.row_count:
        terminal.console().print(listing)


def _retry(db: client.Store, application: str, *, as_json: bool) -> None:
    if not application:
        raise PushRefused("--retry: name the application")
    number = store.retry(db, application, clock.now_ms())
    if as_json:
        terminal.print_json({"application": application, "retried": number})
    else:
        print(f"{application}: {number} will be told again")


def _forget(settings: Config, db: client.Store, application: str, *, as_json: bool) -> None:
    if not application:
        raise PushRefused("--forget: name the application")
    if application in settings.hosted:
        raise PushRefused(f'--forget: the configuration has [hosted."{application}"]; take that out first')
    audit_note.note(settings, "forget-hosted", application)
    number = hosted_leftovers.forget(db, application, streams=True)
    if as_json:
        terminal.print_json({"application": application, "forgotten": number})
    else:
        print(f"{application}: {number} forgotten")


def _kind(settings: Config, application: str) -> str:
    if application not in settings.hosted:
        return "not configured"
    return "stream" if settings.hosted[application].is_stream else "HTTP"


def _row(one: Listed, now_ms: int) -> tuple[str, ...]:
    push = one.push
    if not one.due_ms:
        ahead = "failed"
    else:
        ahead = "now" if one.due_ms <= now_ms else f"in {terminal.span(one.due_ms - now_ms)}"
    facts = (push.application, push.recipient, push.sender, push.content_type, str(len(push.content)))
    return (*facts, str(one.state.tries), ahead, one.state.text, push.id)


def _as_dict(settings: Config, application: str, found: list[Listed], streamed: int) -> dict[str, Any]:
    return {
        "application": application,
        "backend": _kind(settings, application),
        "in_streams": streamed,
        "pushes": [_push_as_dict(one) for one in found],
    }


def _push_as_dict(one: Listed) -> dict[str, Any]:
    push = one.push
    return {
        "id": push.id,
        "state": "waiting" if one.due_ms else "failed",
        "sender": push.sender,
        "recipient": push.recipient,
        "content_type": push.content_type,
        "bytes": len(push.content),
        "push_id": push.push_id,
        "received": clock.iso(push.received_ms),
        "valid_until": clock.iso(push.valid_until_ms) if push.valid_until_ms else "",
        "tries": one.state.tries,
        "last": one.state.text,
        "next": clock.iso(one.due_ms) if one.due_ms else "",
    }
