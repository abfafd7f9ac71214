"""`omapush nodes`, `drain`, `undrain` and `log`: what our processes are in, and how to steer them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import typer

from omapush import clock
from omapush.cli import audit_note, terminal
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.push import nodes as rules
from omapush.push.nodes import Sign
from omapush.store import client, nodes
from omapush.store.client import Store

_LOOK_EVERY_S: Final = 0.2
_SPAN: Final = re.compile(r"([0-9]{1,6})(s|m|h)")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600}
_LONGEST_S: Final = 7 * 86_400

Node = Annotated[
    str,
    typer.Argument(
        metavar="[NODE]", help="Node, or a part of its name; default: the node of the configuration."
    ),
]
Patience = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="Longest time to wait, in seconds.")
]
log_app = typer.Typer(help="Change what running processes log.", no_args_is_help=True)


def show_nodes(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """List the processes of all nodes, their state, and what they still have to finish."""
    store = client.connect(terminal.settings(context).redis)
    found = rules.by_node(nodes.live(store))
    if as_json:
        listed = [
            {"node": node, "state": rules.node_state(signs), "processes": [sign._asdict() for sign in signs]}
            for node, signs in found.items()
        ]
        terminal.print_json(listed)
        return
    listing = terminal.table("NODE", "PROCESS", "PID", "UP", "STATE", "LOG", "")
    now_ms = clock.now_ms()
    for node, signs in found.items():
        for sign in signs:
            up = terminal.span(now_ms - sign.started_ms)
            listing.add_row(node, sign.kind, str(sign.pid), up, sign.state, sign.log_level, sign.busy)
    terminal.console().print(listing)


def drain(context: typer.Context, node: Node = "", wait: Patience = 120.0) -> None:
    """Have a node end its work and take nothing new; returns once it is drained."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    name = _name(config, store, node)
    if not any(sign.node != name and sign.kind == "sip" for sign in nodes.live(store)):
        print(f"no other node serves: pushes wait until `omapush undrain {name}`")
    audit_note.note(config, "drain", name)
    nodes.drain(store, name, clock.now_ms())
    _wait(store, name, wait, lambda signs: rules.node_state(signs) == rules.DRAINED, "is not drained")
    print(f"{name}: drained")


def undrain(context: typer.Context, node: Node = "", wait: Patience = 30.0) -> None:
    """Have a node that was drained serve again; returns once it does."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    name = _name(config, store, node)
    audit_note.note(config, "undrain", name)
    nodes.undrain(store, name)
    _wait(store, name, wait, lambda signs: rules.node_state(signs) == rules.SERVING, "does not serve yet")
    print(f"{name}: serves")


@log_app.command("level")
def log_level(
    context: typer.Context,
    level: Annotated[Literal["debug", "info", "warning", "error", "configured"], typer.Argument()],
    node: Node = "",
    span: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="TIME",
            help="How long: 30s, 10m, 2h; after that, the configured level is used again.",
        ),
    ] = "10m",
    wait: Patience = 10.0,
) -> None:
    """Change the log level of a node's processes for a while; `configured` ends that."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    name = _name(config, store, node)
    until_ms = clock.now_ms() + _seconds(span) * 1000
    audit_note.note(config, "log-level", f"{name} {level}")
    if level == "configured":
        nodes.set_log_level(store, name, "", 0)
        print(f"{name}: logs as configured")
        return
    nodes.set_log_level(store, name, level, until_ms)
    _wait(
        store, name, wait, lambda signs: all(one.log_level == level for one in signs), "does not log so yet"
    )
    print(f"{name}: logs {level} until {clock.iso(until_ms)}")


def _seconds(span: str) -> int:
    found = _SPAN.fullmatch(span)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise PushRefused(f"--for {span}: right would be 30s, 10m or 2h, a week at most")
    return seconds


def _name(config: Config, store: Store, wanted: str) -> str:
    """
    Return the node that is meant.

    Raises:
        PushRefused: none, or more than one, has that in its name.
    """
    if not wanted:
        return config.node
    known = list(rules.by_node(nodes.live(store)))
    found = rules.named(known, wanted)
    if len(found) != 1:
        lives = ", ".join(known) or "none"
        raise PushRefused(f"{wanted}: {len(found)} nodes have that in their name; live: {lives}")
    return found[0]


def _wait(
    store: Store, node: str, patience_s: float, is_done: Callable[[Sequence[Sign]], bool], missing: str
) -> None:
    """
    Return once the live processes of a node are as wanted; a node without any has nothing to end.

    Raises:
        PushRefused: the time is over; the order stands.
    """
    until = clock.monotonic() + patience_s
    while True:
        signs = [sign for sign in nodes.live(store) if sign.node == node]
        if not signs:
            print(f"{node}: no process of it lives; the order stands for when it starts")
            return
        if is_done(signs):
            return
        if clock.monotonic() >= until:
            words = "; ".join(f"{one.kind} {one.pid} {one.state} {one.busy}".strip() for one in signs)
            raise PushRefused(f"{node} {missing} after {patience_s:g} s, the order stands: {words}")
        time.sleep(_LOOK_EVERY_S)
