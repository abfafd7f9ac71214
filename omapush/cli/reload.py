"""`omapush reload`: running processes take what the configuration file says now, all of them or none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from omapush import clock
from omapush.cli import audit_note, terminal
from omapush.errors import PushRefused
from omapush.push import nodes as rules
from omapush.push.nodes import CHECK, CHECKED, REFUSED, TAKE, TAKEN, Change, Sign
from omapush.store import client, nodes
from omapush.store.client import Store

_LOOK_EVERY_S: Final = 0.2


def reload(
    context: typer.Context,
    node: Annotated[
        str, typer.Option("--node", help="Node, or a part of its name; default: all live nodes.")
    ] = "",
    dry: Annotated[bool, typer.Option("--check", help="Show what would change, and change nothing.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=1, help="Longest time to wait, in seconds.")
    ] = 30.0,
    as_json: terminal.AsJson = False,
) -> None:
    """Make all processes use their configuration file as it is now; an error in one file changes nothing."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    signs = _concerned(store, node)
    name = secrets.token_hex(4)
    checked = _ordered(store, signs, name, CHECK, wait)
    refused = [sign for sign in checked if sign.phase == REFUSED]
    if refused:
        first = refused[0]
        raise PushRefused(f"nothing is changed: {first.node} {first.kind}: {first.problem}")
    changes = _changes(checked)
    if not as_json:
        _show(changes)
    if not dry and changes:
        audit_note.note(config, "reload", ", ".join(sorted({one.key for _, one in changes})))
    taken = [] if dry else _ordered(store, checked, name, TAKE, wait)
    failed = [sign for sign in taken if sign.phase == REFUSED]
    if as_json:
        listed = [{"node": where, **one._asdict()} for where, one in changes]
        terminal.print_json({"changes": listed, "taken": [_words(one) for one in taken if one not in failed]})
    if failed:
        raise terminal.fail(f"not taken by {'; '.join(f'{_words(one)}: {one.problem}' for one in failed)}")
    if not dry and not as_json:
        print(f"taken by {len(taken)} processes: {', '.join(_words(one) for one in taken)}")


def _words(sign: Sign) -> str:
    return f"{sign.node} {sign.kind} {sign.pid}"


def _concerned(store: Store, wanted: str) -> list[Sign]:
    found = rules.by_node(nodes.live(store))
    names = rules.named(found, wanted) if wanted else list(found)
    if not names:
        raise PushRefused(f"no process lives{f' on a node with {wanted} in its name' if wanted else ''}")
    return [sign for name in names for sign in found[name]]


def _ordered(store: Store, before: Sequence[Sign], name: str, phase: str, wait_s: float) -> list[Sign]:
    """
    Return the same processes once each has answered an order; those that ended meanwhile are left out.

    Raises:
        PushRefused: some have not in time, and the text says which.
    """
    for node in {sign.node for sign in before}:
        nodes.order_reload(store, node, name, phase)
    done = {REFUSED, CHECKED if phase == CHECK else TAKEN}
    wanted = {sign.name for sign in before}
    until = clock.monotonic() + wait_s
    while True:
        signs = [sign for sign in nodes.live(store) if sign.name in wanted]
        late = [sign for sign in signs if sign.reload != name or sign.phase not in done]
        if not late:
            return signs
        if clock.monotonic() >= until:
            words = "; ".join(_words(one) for one in late)
            verb = "checked the file" if phase == CHECK else "said that it works with the new values"
            raise PushRefused(f"after {wait_s:g} s these have not {verb}: {words}")
        time.sleep(_LOOK_EVERY_S)


def _changes(signs: Sequence[Sign]) -> list[tuple[str, Change]]:
    """What changes, once for each node: its processes read one file, but may have begun with another."""
    found = {(sign.node, one): None for sign in signs for one in sign.changes}
    return list(found)


def _show(changes: Sequence[tuple[str, Change]]) -> None:
    if not changes:
        print("no key is another than what the processes work with; secrets in files are read again")
        return
    listing = terminal.table("NODE", "KEY", "OLD", "NEW", "")
    for node, one in changes:
        needs = f"needs a restart: {one.restart}" if one.restart else ""
        listing.add_row(node, one.key, one.old or "-", one.new or "-", needs)
    terminal.console().print(listing)
