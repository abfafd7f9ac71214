"""What a key or a member may hold, read from its type: for the reference, and for what is said of errors."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

WRONG_TYPE: Final = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`")
"How msgspec says that a value is of another type: which it wanted, and which it is."
NOT_ONE_OF: Final = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
"How it says that a value is none of the words."


def words(kind: Any) -> tuple[str, ...]:
    """Return the words of which a key of this type takes one, or a list some; none when it takes any."""
    found = (typing.get_args(inner) for inner, _ in _layers(kind) if typing.get_origin(inner) is Literal)
    return next(found, ())


def right(kind: Any) -> str:
    """Return what a key of this type takes, for behind `right would be`; empty when nothing limits it."""
    if allowed := words(kind):
        return "one of " + ", ".join(f'"{word}"' for word in allowed)
    return next(filter(None, (_of_note(note) for _, notes in _layers(kind) for note in notes)), "")


def kind_at(table: type[Struct], key: str) -> Any:
    """Return the type of a key in or below a table, such as `retry.attempts`; None when there is none."""
    kind: Any = table
    for name in key.split("."):
        kind = _field(_table_in(kind), name.partition("[")[0])
    return kind


def keys_at(table: type[Struct], key: str) -> tuple[str, ...]:
    """Return the keys of the table that stands at `key` of another; for an empty key those of that one."""
    inner = _table_in(kind_at(table, key)) if key else table
    return inner.__struct_fields__ if inner else ()


def _of_note(note: Any) -> str:
    """What a note of msgspec, or of a parameter of a route, says of values."""
    if isinstance(note, Meta) and note.examples:
        return " or ".join(f'"{example}"' for example in note.examples)
    least, above, most = (getattr(note, name, None) for name in ("ge", "gt", "le"))
    if most is None:
        return ""
    return f"{least:_} to {most:_}" if least is not None else f"above {above:_}, up to {most:_}"


def _layers(kind: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Give the type and those inside it, with their notes: of a list its members, of what may be unset it."""
    if typing.get_origin(kind) is Annotated:
        inner, *notes = typing.get_args(kind)
        yield inner, tuple(notes)
        yield from _layers(inner)
        return
    yield kind, ()
    if typing.get_origin(kind) in (tuple, typing.Union, types.UnionType):
        for inner in typing.get_args(kind):
            if inner not in (Ellipsis, type(None)):
                yield from _layers(inner)


def _table_in(kind: Any) -> type[Struct] | None:
    return next((one for one, _ in _layers(kind) if isinstance(one, type) and issubclass(one, Struct)), None)


def _field(table: type[Struct] | None, name: str) -> Any:
    fields = msgspec.structs.fields(table) if table else ()
    return next((field.type for field in fields if field.name == name), None)
