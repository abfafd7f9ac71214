"""`omapush push`: submit a push, find some, look at one, steer one, explain what happened to it."""

from __future__ import annotations

from typing import Annotated

import typer

from omapush.cli import json_submission, push_explain, push_list, push_send, terminal
from omapush.cli.push_explain import PushId
from omapush.cli.push_options import Name
from omapush.cli.push_view import as_dict, reached, summary
from omapush.store import client, fanouts
from omapush.views.push_lookup import find

app = typer.Typer(
    help="Send pushes, find them, and see what became of them; cancel, pause, resume or abort one.",
    no_args_is_help=True,
)
app.command(name="send")(push_send.send)
app.command(name="list")(push_list.listing)
app.command(name="explain")(push_explain.explain)


@app.command()
def show(
    context: typer.Context, push: PushId, initiator: Name = None, as_json: terminal.AsJson = False
) -> None:
    """Show a push and the state of each recipient."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    known = find(store, config, push, initiator)
    reach = fanouts.reach(store, known)
    if as_json:
        terminal.print_json({**as_dict(known), **(reach._asdict() if reach else {})})
        return
    console = terminal.console()
    console.print(summary(known))
    if reach is not None:
        console.print()
        console.print(reached(known, reach))
        return
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
def pause(context: typer.Context, push: PushId, initiator: Name = None) -> None:
    """Send nothing more of a push to all subscribers until it is resumed."""
    _steer(context, push, initiator, "pause")


@app.command()
def resume(context: typer.Context, push: PushId, initiator: Name = None) -> None:
    """Go on with a push that is paused."""
    _steer(context, push, initiator, "resume")


@app.command()
def abort(context: typer.Context, push: PushId, initiator: Name = None) -> None:
    """End a push to all subscribers for those to whom nothing was sent yet."""
    _steer(context, push, initiator, "abort")


@app.command()
def cancel(
    context: typer.Context,
    push: PushId,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Only for this recipient; repeatable.")
    ] = None,
    initiator: Name = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Cancel a push; exit code 1 if a recipient has got it or still gets it."""
    config = terminal.settings(context)
    known = find(client.connect(config.redis), config, push, initiator).push
    recipients = json_submission.cancel(config, known.initiator, known.ref, to or ())
    if as_json:
        terminal.print_json({"push_id": known.push_id, "ref": known.ref, "recipients": recipients})
    else:
        listing = terminal.table("RECIPIENT", "CODE", "WHAT")
        for one in recipients:
            listing.add_row(one["address"] or "all subscribers", one["code"], one["desc"])
        terminal.console().print(listing)
    if not all(one["cancelled"] for one in recipients):
        raise typer.Exit(1)


def _steer(context: typer.Context, push: str, initiator: str | None, what: str) -> None:
    config = terminal.settings(context)
    known = find(client.connect(config.redis), config, push, initiator).push
    now = json_submission.steer(config, known.initiator, known.ref, what)
    reach = now["subscribers"]
    print(f"{now['state']}  {reach['ended']} of {reach['made']} deliveries have ended")
