"""The `omapush` command: 0 done, 1 refused or failed with a one-line reason, 2 usage."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from omapush.cli import terminal, version
from omapush.cli.commands import Commands
from omapush.errors import PushError, StoreUnavailable

app = typer.Typer(
    cls=Commands,
    help="IMS application server for OMA Push using SIP: run it, send pushes, see what it does.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"omapush {version.release()}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Configuration file; default: $OMAPUSH_CONFIG, otherwise omapush.toml.",
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version."),
    ] = False,
) -> None:
    context.obj = file


def main() -> None:
    """Run one command and exit with its code."""
    if "_OMAPUSH_COMPLETE" in os.environ:  # a shell asks what could come next; the package brings its scripts
        from typer._completion_classes import completion_init

        completion_init()
    try:
        app()
    except StoreUnavailable as error:
        from omapush.cli import redis_words

        does, hint = "does not answer", redis_words.action(str(error))
        if redis_words.answers(str(error)):
            does = "takes nothing"
        else:
            hint += "; is it up, `omapush doctor` says what is wrong"
        print(f"omapush: Redis {does}: {error}; {hint}", file=sys.stderr)
        sys.exit(terminal.FAILED)
    except PushError as error:
        print(f"omapush: {error}", file=sys.stderr)
        sys.exit(terminal.FAILED)
    except BrokenPipeError:
        sys.exit(terminal.FAILED)


if __name__ == "__main__":
    main()
