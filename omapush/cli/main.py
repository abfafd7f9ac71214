"""The `omapush` command: 0 done, 1 refused or failed with a one-line reason, 2 usage."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from omapush.cli import (
    alarms,
    audit,
    books,
    capabilities,
    capacity,
    configuration,
    doctor,
    hosted,
    initiators,
    lists,
    lock_outs,
    nodes,
    policy,
    processes,
    push,
    receiver,
    registrations,
    reload,
    route,
    subscriptions,
    support_bundle,
    terminal,
    trace,
    user,
)
from omapush.errors import PushError

app = typer.Typer(
    help="IMS application server for OMA Push using SIP: run it, push with it, see what it does.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(push.app, name="push")
app.command(name="registrations")(registrations.registrations)
app.command(name="capabilities")(capabilities.capabilities)
app.command(name="route")(route.route)
app.command(name="hosted")(hosted.hosted)
app.command(name="initiators")(initiators.initiators)
app.add_typer(initiators.app, name="initiator")
app.command(name="locked")(lock_outs.locked)
app.command(name="unlock")(lock_outs.unlock)
app.add_typer(receiver.app, name="receiver")
app.command(name="subscriptions")(subscriptions.subscriptions)
app.add_typer(subscriptions.app, name="subscription")
app.add_typer(lists.app, name="lists")
app.add_typer(trace.app, name="trace")
app.add_typer(user.app, name="user")
app.add_typer(configuration.app, name="config")
app.add_typer(audit.app, name="audit")
app.add_typer(alarms.app, name="alarms")
app.add_typer(policy.app, name="policy")
app.command(name="books")(books.books)
app.command(name="capacity")(capacity.capacity)
app.command(name="doctor")(doctor.doctor)
app.command(name="support-bundle")(support_bundle.support_bundle)
app.command(name="nodes")(nodes.show_nodes)
app.command(name="reload")(reload.reload)
app.command(name="drain")(nodes.drain)
app.command(name="undrain")(nodes.undrain)
app.add_typer(nodes.log_app, name="log")
for _process in (processes.redis, processes.sip, processes.api, processes.notifier, processes.msrp):
    app.command(rich_help_panel="Processes, each in the foreground")(_process)


@app.callback()
def _options(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="FILE", help="Configuration; else $OMAPUSH_CONFIG, else omapush.toml."
        ),
    ] = None,
) -> None:
    context.obj = file


def main() -> None:
    """Run one command and exit with its code."""
    if "_OMAPUSH_COMPLETE" in os.environ:  # a shell asks what could come next; the package brings its scripts
        from typer._completion_classes import completion_init

        completion_init()
    try:
        app()
    except PushError as error:
        print(f"omapush: {error}", file=sys.stderr)
        sys.exit(terminal.FAILED)
    except BrokenPipeError:
        sys.exit(terminal.FAILED)


if __name__ == "__main__":
    main()
