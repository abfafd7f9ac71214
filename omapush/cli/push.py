"""`omapush push`: submit a push, look at one, explain what happened to it."""

from __future__ import annotations

from typing import Annotated

import typer

from omapush import clock
from omapush.cli import explanation, ladder, push_send, terminal
from omapush.cli.push_send import Name
from omapush.cli.push_view import as_dict, find, summary
from omapush.store import client

app = typer.Typer(help="Submit a push, look at one, explain one.", no_args_is_help=True)
app.command(name="send")(push_send.send)

PushId = Annotated[str, typer.Argument(metavar="ID", help="Push-id, or our own reference of 20 digits.")]


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
    console.print(summary(known))
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
    console.print(summary(known))
    console.print()
    for line in ladder.draw(known, width=console.width):
        console.print(line, soft_wrap=True)
    for index, standing in enumerate(standings):
        whom = f"[{index}] {standing.address}" if len(standings) > 1 else standing.address
        console.print(f"\n{whom}\n  now:  {standing.now}\n  next: {standing.next}", soft_wrap=True)
