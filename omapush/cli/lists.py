"""`omapush lists`: an initiator's distribution lists, through the api as the initiator itself would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx
import typer

from omapush.cli import api_client, terminal
from omapush.cli.json_submission import refusal
from omapush.config import Config
from omapush.errors import PushRefused

_AT_ONCE: Final = 1_000
"Members in one request."

app = typer.Typer(help="Manage the distribution lists of an initiator.", no_args_is_help=True)

Initiator = Annotated[
    str | None, typer.Option(metavar="NAME", help="The initiator; may be left out if there is only one.")
]
ListName = Annotated[str, typer.Argument(metavar="LIST")]
Members = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ADDRESS]...", help="Addresses such as sip:alice@home1.example."),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", exists=True, dir_okay=False, help="File with one address a line; # begins a comment."
    ),
]


@app.command()
def show(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[LIST]", help="Show the members of this list; default: all lists."),
    ] = None,
    initiator: Initiator = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Show the lists, or the members of one."""
    config = terminal.settings(context)
    whose = _initiator(config, initiator)
    if name is not None:
        members = _pages(config, whose, f"/v1/lists/{quote(name, safe='')}/members", "members")
        if as_json:
            terminal.print_json(list(members))
        else:
            for member in members:
                print(member)
        return
    found = list(_pages(config, whose, "/v1/lists", "lists"))
    if as_json:
        terminal.print_json(found)
        return
    listing = terminal.table("LIST", "MEMBERS")
    for one in found:
        listing.add_row(one["name"], str(one["members"]))
    terminal.console().print(listing)


@app.command()
def create(context: typer.Context, name: ListName, initiator: Initiator = None) -> None:
    """Create a list; one that is there stays as it is."""
    config = terminal.settings(context)
    answer = _ask(config, _initiator(config, initiator), "PUT", name)
    print("created" if answer.status_code == httpx.codes.CREATED else "is there already")


@app.command()
def add(
    context: typer.Context,
    name: ListName,
    addresses: Members = None,
    file: File = None,
    initiator: Initiator = None,
) -> None:
    """Put members into a list."""
    _change(context, name, "add", _given(addresses, file), initiator)


@app.command()
def remove(
    context: typer.Context,
    name: ListName,
    addresses: Members = None,
    file: File = None,
    initiator: Initiator = None,
) -> None:
    """Take members out of a list."""
    _change(context, name, "remove", _given(addresses, file), initiator)


@app.command()
def delete(context: typer.Context, name: ListName, initiator: Initiator = None) -> None:
    """Delete a list; pushes that were accepted for it go on."""
    config = terminal.settings(context)
    _ask(config, _initiator(config, initiator), "DELETE", name)
    print("deleted")


def _given(addresses: Sequence[str] | None, file: Path | None) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    named = [line.partition("#")[0].strip() for line in lines]
    found = [*(addresses or ()), *(line for line in named if line)]
    if not found:
        raise typer.BadParameter("no address is given", param_hint="ADDRESS")
    return found


def _change(
    context: typer.Context, name: str, what: str, addresses: Sequence[str], initiator: str | None
) -> None:
    """In requests of bounded size; each is done as a whole or not at all."""
    config = terminal.settings(context)
    whose = _initiator(config, initiator)
    changed, members = 0, 0
    for first in range(0, len(addresses), _AT_ONCE):
        body = json.dumps({what: addresses[first : first + _AT_ONCE]}).encode()
        try:
            answer = _ask(config, whose, "POST", name, "/members", body=body).json()
        except PushRefused as error:
            done = f"; {changed} of the addresses before number {first + 1} are done" if first else ""
            raise PushRefused(f"{error}{done}") from error
        changed, members = changed + answer[f"{what.rstrip('e')}ed"], answer["members"]
    print(f"{changed} {what.rstrip('e')}ed, {members} members")


def _initiator(config: Config, named: str | None) -> str:
    if named is not None:
        return named
    if len(config.initiator) != 1:
        known = ", ".join(config.initiator) or "none"
        raise PushRefused(f"choose with --initiator; {config.path} has {known}")
    return next(iter(config.initiator))


def _ask(
    config: Config, whose: str, method: str, name: str, more: str = "", *, body: bytes = b""
) -> httpx.Response:
    headers = {"Content-Type": "application/json"} if body else {}
    path = f"/v1/lists/{quote(name, safe='')}{more}"
    answer = api_client.ask(config, whose, method, path, body=body, headers=headers)
    if not answer.is_success:
        raise refusal(answer)
    return answer


def _pages(config: Config, whose: str, path: str, what: str) -> Iterator[Any]:
    after = ""
    while True:
        answer = api_client.ask(config, whose, "GET", f"{path}?limit=1000&after={quote(after, safe='')}")
        if not answer.is_success:
            raise refusal(answer)
        page = answer.json()
        yield from page[what]
        after = page["next"]
        if not after:
            return
