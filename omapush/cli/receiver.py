"""`omapush receiver`: be a device that takes pushes, or a thousand of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from omapush.cli import fields, receiver_fleet, receiver_run
from omapush.cli import receiver_arguments as arguments
from omapush.cli import receiver_options as options
from omapush.receiver import profile_server

app = typer.Typer(help="Play a device that receives pushes (Push Receiver Agent).", no_args_is_help=True)
app.command(name="run")(fields.command(arguments.Device, receiver_run.run))
app.command(name="fleet")(receiver_fleet.fleet)


@app.command()
def profile(
    apps: arguments.Apps,
    accept: arguments.Accept = None,
    largest: Annotated[int, typer.Option(help="Largest push in bytes; 0: none is stated.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write to; default: standard output.")
    ] = None,
) -> None:
    """Write the UAProf document of a device with these applications and content types."""
    document = profile_server.document(dict.fromkeys(apps, tuple(accept or ("*/*",))), largest or None)
    if out:
        options.write(out, document, "--out")
    else:
        sys.stdout.write(document.decode())
