"""`omapush config`: check a configuration file without starting, and list every key there is."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import typer

from omapush.cli import terminal
from omapush.config import Config, allowed
from omapush.config.keys import restarts, to_toml

app = typer.Typer(help="Check the configuration, list its keys.", no_args_is_help=True)


class Key(NamedTuple):
    """One key of the configuration file."""

    table: str
    "As written in the file: `[sip]`, `[initiator.NAME]`."
    name: str
    default: str
    "As TOML."
    meaning: str
    restart: str
    "Processes that have to be started again when it changes; empty: `omapush reload` does."


@app.command()
def check(context: typer.Context) -> None:
    """
    Say whether the configuration is right, and the files that it names can be used; if not, which key is
    wrong and what would be right.
    """
    from omapush.cli.start_checks import refusals

    found = terminal.settings(context)
    if problems := list(refusals(found)):
        for problem in problems:
            print(f"omapush: {problem}", file=sys.stderr)
        raise typer.Exit(terminal.FAILED)
    source = found.path if Path(found.path).exists() else f"{found.path} (not there: defaults)"
    facts = (
        f"SIP {', '.join(found.sip.listen)}",
        f"HTTP {found.api.listen}",
        f"next hop {found.core.next_hop}",
        f"initiators: {', '.join(found.initiator) or 'none'}",
        f"application profiles: {', '.join(found.application) or 'none'}",
    )
    print(f"{source}: OK  {'  '.join(facts)}")
    if readable := [name for name, one in found.initiator.items() if one.is_plain]:
        print(
            f"note: the passwords of these initiators can be read on this machine: {', '.join(readable)}; "
            "fit for a lab, else password_hash (omapush initiator hash)",
            file=sys.stderr,
        )


@app.command()
def reference(as_json: terminal.AsJson = False) -> None:
    """Print every key with its default and meaning, as Markdown."""
    keys = list(all_keys())
    if as_json:
        terminal.print_json([key._asdict() for key in keys])
        return
    table = ""
    for key in keys:
        if key.table != table:
            table = key.table
            print(f"\n### `{table}`\n\n{_title(table)}\n\n| key | default | meaning |\n|---|---|---|")
        meaning = key.meaning.replace("|", chr(92) + "|")
        if key.restart:
            meaning += f" *Restart: {key.restart.replace(' ', ', ')}.*"
        print(f"| `{key.name}` | `{key.default}` | {meaning} |")


def all_keys() -> Iterator[Key]:
    """Give every key, in the order of the file's tables; docstrings of omapush/config/ are the meanings."""
    for table, kind in _tables():
        meanings = _meanings(kind)
        for field in msgspec.structs.fields(kind):
            meaning = meanings[field.name] + _values(field, meanings[field.name])
            yield Key(table, field.name, _default(field), meaning, restarts(kind)[field.name])


def _values(field: msgspec.structs.FieldInfo, meaning: str) -> str:
    """The words that the key takes, unless its meaning names each, or nothing for one that takes others."""
    words = [f"`{word}`" for word in allowed.words(field.type)]
    return "" if all(word in meaning for word in words) else f" Values: {', '.join(words)}."


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "needed"
    return to_toml(field.default_factory() if field.default is msgspec.NODEFAULT else field.default)


def _tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Each table of the file and the class that describes it; those of a `dict` come once for each name."""
    for field in msgspec.structs.fields(Config):
        if typing.get_origin(field.type) is dict:
            yield f"[{field.name}.NAME]", typing.get_args(field.type)[1]
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield f"[{field.name}]", field.type


def _title(table: str) -> str:
    kind = dict(_tables())[table]
    return " ".join((kind.__doc__ or "").split())


def _meanings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each key in the source of a table's class."""
    [described] = [one for one in ast.parse(inspect.getsource(kind)).body if isinstance(one, ast.ClassDef)]
    found = {}
    for key, below in itertools.pairwise(described.body):
        match key, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found
