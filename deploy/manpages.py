"""Manual pages, made from the command itself and from the list of all configuration keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer

from omapush.cli import configuration
from omapush.cli.main import app

_FILES: Final = (
    ("/etc/omapush/omapush.toml", "configuration, see omapush.toml(5)"),
    ("/run/omapush", "sockets and pid files of the running services"),
    ("/var/lib/omapush", "what the private Redis keeps"),
    ("/opt/omapush", "the program, with libraries of its own"),
)
_VARIABLES: Final = (
    ("OMAPUSH_CONFIG", "the configuration file, when --config names none"),
    ("OMAPUSH_RUN_DIR", "where sockets and pid files are, when --run-dir names no folder"),
)
_EXIT: Final = (
    ("0", "done"),
    ("1", "refused or failed; the reason is on standard error"),
    ("2", "the command line is wrong"),
)
_LEADING: Final = re.compile(r"^([.'])", re.MULTILINE)


def write(folder: Path, version: str) -> None:
    """Write omapush(1), a page for each command such as omapush-push(1), and omapush.toml(5)."""
    root: Any = typer.main.get_command(app)
    context = type(root).context_class(root, info_name="omapush")
    commands = {name: root.get_command(context, name) for name in sorted(root.list_commands(context))}
    (folder / "man1").mkdir(parents=True, exist_ok=True)
    (folder / "man5").mkdir(exist_ok=True)
    for name, command in commands.items():
        page = "".join(_page_of(command, context, name, version))
        (folder / "man1" / f"omapush-{name}.1").write_text(page, encoding="utf-8")
    first = "".join(_first_page(root, context, commands, version))
    (folder / "man1" / "omapush.1").write_text(first, encoding="utf-8")
    (folder / "man5" / "omapush.toml.5").write_text("".join(_of_configuration(version)), encoding="utf-8")


def escaped(text: str) -> str:
    """Return text that roff prints as it is."""
    return _LEADING.sub(r"\\&\1", text.replace("\\", r"\e").replace("-", r"\-"))


def _head(name: str, number: int, version: str, what: str) -> str:
    return (
        f'.TH "{name.upper()}" "{number}" "" "omapush {version}" "omapush"\n'
        f".SH NAME\n{escaped(name)} \\- {escaped(what.rstrip('.'))}\n"
    )


def _first_page(root: Any, context: Any, commands: Mapping[str, Any], version: str) -> Iterator[str]:
    yield _head("omapush", 1, version, "OMA Push using SIP: run it, push with it, see what it does")
    yield ".SH SYNOPSIS\n.B omapush\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n"
    yield f".SH DESCRIPTION\n{escaped(root.help)}\n"
    yield ".SH OPTIONS\n"
    yield from _options(root, context)
    yield ".SH COMMANDS\n"
    for name, command in commands.items():
        yield _item(f"omapush-{name}(1)", _sentence(command.help))
    for title, items in (("FILES", _FILES), ("ENVIRONMENT", _VARIABLES), ("EXIT STATUS", _EXIT)):
        yield f".SH {title}\n"
        yield from (_item(*item) for item in items)
    yield ".SH SEE ALSO\nomapush.toml(5), kamailio(8), redis\\-server(1)\n"


def _page_of(command: Any, above: Any, name: str, version: str) -> Iterator[str]:
    yield _head(f"omapush-{name}", 1, version, _sentence(command.help))
    context = type(command).context_class(command, info_name=name, parent=above)
    inner: dict[str, Any] = getattr(command, "commands", {})
    yield ".SH SYNOPSIS\n"
    if not inner:
        yield _synopsis(command, context)
        yield f".SH DESCRIPTION\n{escaped(command.help)}\n.SH OPTIONS\n"
        yield from _options(command, context)
    else:
        for word, one in inner.items():
            yield _synopsis(one, type(one).context_class(one, info_name=word, parent=context)) + ".br\n"
        yield f".SH DESCRIPTION\n{escaped(command.help)}\n"
        for word, one in inner.items():
            below = type(one).context_class(one, info_name=word, parent=context)
            yield f".SH {escaped(below.command_path.upper())}\n{escaped(one.help)}\n"
            yield from _options(one, below)
    yield ".SH SEE ALSO\nomapush(1), omapush.toml(5)\n"


def _synopsis(command: Any, context: Any) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    return f".B {escaped(context.command_path)}\n{escaped(pieces)}\n"


def _options(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield _item(*record)


def _item(term: str, text: str) -> str:
    return f".TP\n.B {escaped(term)}\n{escaped(text)}\n"


def _sentence(text: str) -> str:
    """The first sentence of a help text, on one line."""
    return " ".join(text.split()).partition(". ")[0]


def _of_configuration(version: str) -> Iterator[str]:
    yield _head("omapush.toml", 5, version, "configuration of omapush")
    yield (
        ".SH DESCRIPTION\nOne TOML file, read once when a process starts: restart what shall see a change. "
        'Every key may be left out. Check it with\n.BR "omapush config check" .\n'
    )
    table = ""
    for key in configuration.all_keys():
        if key.table != table:
            table = key.table
            yield f".SH {escaped(table)}\n"
        yield _item(f"{key.name} = {key.default}", key.meaning)
