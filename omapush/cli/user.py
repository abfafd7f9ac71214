"""`omapush user`: all that is kept of one user, shown or erased (docs/privacy.md)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from omapush import clock
from omapush.cli import audit_note, terminal
from omapush.config import Config
from omapush.push.user_named import user_named
from omapush.push.values import target
from omapush.store import client, erasing, user_data
from omapush.store.client import Store
from omapush.store.user_data import User

app = typer.Typer(help="Export or erase everything that is stored about one user.", no_args_is_help=True)

Uri = Annotated[
    str, typer.Argument(metavar="URI", help="User, such as sip:alice@home1.example, or a tel URI.")
]


@app.command()
def export(context: typer.Context, uri: Uri) -> None:
    """Print all that is kept of a user, as JSON."""
    config = terminal.settings(context)
    store, user = _known(config, uri)
    audit_note.note(config, "export-user", _pseudonym(user))
    terminal.print_json(_plain(erasing.everything(store, user)))


@app.command()
def erase(
    context: typer.Context,
    uri: Uri,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Erase what is stored about a user; exit code 1 if something under way is left for another run."""
    config = terminal.settings(context)
    store, user = _known(config, uri)
    if not is_sure:
        typer.confirm(f"Erase all that is kept of {', '.join(user.identities)}?", abort=True)
    audit_note.note(config, "erase-user", _pseudonym(user))
    done = list(erasing.erase(store, user, now_ms=clock.now_ms(), retention_s=config.delivery.retention_s))
    if as_json:
        terminal.print_json([one._asdict() for one in done])
    else:
        listing = terminal.table("WHAT", "ERASED", "LEFT")
        for one in done:
            listing.add_row(one.what, str(one.erased), str(one.left) if one.left else "")
        terminal.console().print(listing)
    if left := sum(one.left for one in done):
        raise terminal.fail(
            f"{left} still under way, or not yet told to their initiators: run it again later"
        )


def _known(config: Config, uri: str) -> tuple[Store, User]:
    store = client.connect(config.redis)
    return store, user_data.known_as(store, user_named(uri, "URI"))


def _pseudonym(user: User) -> str:
    """The audit record shows that somebody was erased, to those who know whom to look for."""
    return f"user {target(user.identities[0])}"


def _plain(value: Any) -> Any:
    """Records as objects with the names of their fields, bytes as base64."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return msgspec.to_builtins(value)
