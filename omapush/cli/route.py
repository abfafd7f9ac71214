"""`omapush route`: which application an inbound request would belong to, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from omapush.cli import terminal
from omapush.push.application_routing import RoutedRequest, Routing
from omapush.push.application_routing import route as decide

_SAID = {404: "404 Not Found", 480: "480 Temporarily Unavailable"}


def route(
    context: typer.Context,
    method: Annotated[str, typer.Option(help="SIP method of the request.")] = "MESSAGE",
    request_uri: Annotated[str, typer.Option(metavar="URI", help="Request-URI.")] = "",
    accept_contact: Annotated[
        list[str] | None, typer.Option(metavar="VALUE", help="Accept-Contact; repeatable.")
    ] = None,
    event: Annotated[str, typer.Option(metavar="VALUE", help="Event.")] = "",
    content_type: Annotated[str, typer.Option(metavar="VALUE", help="Content-Type.")] = "",
    as_json: terminal.AsJson = False,
) -> None:
    """Show which application a request with these headers is for; exit code 1 if it is for none."""
    settings = terminal.settings(context)
    request = RoutedRequest(
        method.upper(), request_uri, tuple(accept_contact or ()), event=event, content_type=content_type
    )
    found = decide(request, settings.routing, settings.application)
    if as_json:
        terminal.print_json(found._asdict())
    else:
        _print(found, has_table=found.application in settings.application)
    if not found.application:
        raise typer.Exit(terminal.FAILED)


def _print(found: Routing, *, has_table: bool) -> None:
    profile = "its own table" if has_table else "the default profile"
    rows = [("application", f"{found.application}, by {profile}")] if found.application else []
    if not found.application:
        rows.append(("answer", _SAID[found.sip_status]))
    rows.append(("decided by", found.clue))
    rows += [("why", reason) for reason in found.reasons]
    terminal.console().print(terminal.pairs(rows))
