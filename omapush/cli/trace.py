"""`omapush trace`: say which pushes are traced, and take out what was sent and received for one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from omapush import clock
from omapush.cli import audit_note, terminal, trace_view
from omapush.cli.push_options import Name
from omapush.config import Config
from omapush.errors import NotKnown, PushRefused
from omapush.protocol import pcap
from omapush.push.tracing import Kept
from omapush.push.user_named import user_named
from omapush.push.values import push_ref, target
from omapush.store import client, registrations, traces
from omapush.store.client import Store
from omapush.views.push_lookup import find

app = typer.Typer(
    help="Trace pushes: switch tracing on and off, and look at the messages.", no_args_is_help=True
)

_DAY_S = 86_400
_MONTH_S = 2_592_000

Push = Annotated[
    list[str] | None,
    typer.Option("--push", metavar="ID", help="This push, by push-id or reference; repeatable."),
]
User = Annotated[
    list[str] | None, typer.Option("--user", metavar="URI", help="All pushes to this user; repeatable.")
]


@app.command()
def on(
    context: typer.Context,
    push: Push = None,
    user: User = None,
    share: Annotated[
        float | None, typer.Option(min=0, max=100, help="This percentage of all pushes, chosen at random.")
    ] = None,
    for_s: Annotated[
        int,
        typer.Option(
            "--for",
            metavar="SECONDS",
            min=1,
            max=_MONTH_S,
            help="Seconds after which it is switched off by itself.",
        ),
    ] = _DAY_S,
    initiator: Name = None,
) -> None:
    """Trace a push (even before it is submitted), a user, or a share of all pushes; takes up to 2 s."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    names = _names(store, config, push or (), user or (), initiator)
    values = {**dict.fromkeys(names, ""), **({} if share is None else {traces.SHARE: f"{share:g}"})}
    if not values:
        raise typer.BadParameter("name what to trace: --push, --user or --share")
    audit_note.note(config, "trace-on", _pseudonyms(values))
    now_ms = clock.now_ms()
    until_ms = now_ms + for_s * 1000
    for name, value in values.items():
        traces.switch_on(store, name, until_ms=until_ms, now_ms=now_ms, value=value)
        print(f"{name}{f' {value} %' if value else ''}: traced until {clock.iso(until_ms)}")


@app.command()
def off(
    context: typer.Context,
    push: Push = None,
    user: User = None,
    share: Annotated[
        bool, typer.Option("--share", help="The share; the configured one is used again.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that was switched on by command.")
    ] = False,
    initiator: Name = None,
) -> None:
    """Stop tracing; messages that were kept stay until their time is over."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    names = _names(store, config, push or (), user or (), initiator)
    names += [traces.SHARE] if share else []
    if everything:
        names = [one.name for one in traces.switches(store, clock.now_ms())]
    elif not names:
        raise typer.BadParameter("name what not to trace: --push, --user, --share or --all")
    audit_note.note(config, "trace-off", _pseudonyms(names))
    print(f"{traces.switch_off(store, names)} of {len(names)} switched off")


@app.command()
def show(context: typer.Context, as_json: terminal.AsJson = False) -> None:
    """Show what is traced now, and where traces are sent."""
    config = terminal.settings(context)
    known = traces.switches(client.connect(config.redis), clock.now_ms())
    wanted = traces.wanted(client.connect(config.redis), clock.now_ms(), share=config.trace.share)
    if as_json:
        listed = [{"what": one.name, "until": clock.iso(one.until_ms)} for one in known]
        terminal.print_json({"share": wanted.share, "hep": config.trace.hep, "on": listed})
        return
    console = terminal.console()
    console.print(
        terminal.pairs(
            (
                ("share of all", f"{wanted.share:g} %"),
                ("contents", "shown" if config.trace.content else "left out"),
                ("kept for", terminal.span(config.trace.keep_s * 1000)),
                ("HEP to", config.trace.hep),
            )
        )
    )
    if known:
        listing = terminal.table("TRACED", "UNTIL")
        for one in known:
            listing.add_row(one.name + (f" {one.value} %" if one.value else ""), clock.iso(one.until_ms))
        console.print()
        console.print(listing)


@app.command(name="push")
def of_push(
    context: typer.Context,
    push: Annotated[str, typer.Argument(metavar="ID", help="Push-id, or our reference of 20 digits.")],
    file: Annotated[
        str | None,
        typer.Option(
            "--pcap",
            metavar="FILE",
            help="Write a capture file for Wireshark or sngrep; - is standard output.",
        ),
    ] = None,
    initiator: Name = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Show the SIP messages that were sent and received for a push, or write them to a file."""
    config = terminal.settings(context)
    store = client.connect(config.redis)
    ref = find(store, config, push, initiator).push.ref
    kept = traces.read(store, ref)
    if not kept:
        raise NotKnown(
            "push",
            f"nothing was kept of {push}: it was not traced (omapush trace on), nothing was sent for it, "
            f"or that is longer than {terminal.span(config.trace.keep_s * 1000)} ago",
        )
    audit_note.note(config, "trace-read", ref)
    if file is not None:
        _write(file, kept)
    elif as_json:
        terminal.print_json([trace_view.as_dict(one) for one in kept])
    else:
        for line in trace_view.messages(kept):
            terminal.console().print(line, soft_wrap=True)


def _write(file: str, kept: list[Kept]) -> None:
    data = b"".join(pcap.write(one.message.packet for one in kept))
    if file == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise PushRefused(f"--pcap: {file} cannot be written: {error.strerror}") from error
    print(f"{file}: {len(kept)} messages")


def _names(
    store: Store, config: Config, pushes: Iterable[str], users: Iterable[str], initiator: str | None
) -> list[str]:
    """Of a telephone number two: pushes to it may have been accepted under either identity of its user."""
    aors = [user_named(one, "--user") for one in users]
    named = dict.fromkeys([*aors, *registrations.sip_identities(store, aors)])
    names = [traces.push_switch(_ref(store, config, one, initiator)) for one in pushes]
    return names + [traces.user_switch(aor) for aor in named]


def _ref(store: Store, config: Config, push: str, initiator: str | None) -> str:
    """The reference of a push that is known, or of one that its initiator is going to submit."""
    try:
        return find(store, config, push, initiator).push.ref
    except PushRefused:
        names = [initiator] if initiator else list(config.initiator)
        if len(names) != 1:
            raise
        return push_ref(names[0], push)


def _pseudonyms(names: Iterable[str]) -> str:
    """The audit record names no users, but the names they queue under."""
    return ", ".join(
        f"user {target(name.removeprefix('user:'))}" if name.startswith("user:") else name for name in names
    )
