"""
Records of a later release, read as far as this one knows them.

A release only adds fields at the end of a named tuple. While nodes of two releases work on one Redis, the
older one meets such records: it goes on without the fields that it does not know.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from functools import lru_cache
from typing import Any


def known_part(kind: Any, value: Any) -> Any:
    """Return what was decoded without a type, less the fields that `kind` does not have, at every depth."""
    if value is None:
        return None
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return known_part(next(one for one in args if one is not types.NoneType), value)
    if origin is tuple and isinstance(value, list):
        ends_open = len(args) == 2 and args[1] is Ellipsis
        kinds: Sequence[Any] = [args[0]] * len(value) if ends_open else args
        return [known_part(*pair) for pair in zip(kinds, value, strict=False)]
    if origin is dict and isinstance(value, dict):
        return {key: known_part(args[1], one) for key, one in value.items()}
    if hasattr(kind, "_fields") and isinstance(value, list):
        return [known_part(*pair) for pair in zip(_kinds(kind), value, strict=False)]
    return value


@lru_cache
def _kinds(kind: Any) -> tuple[Any, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(hints[name] for name in kind._fields)
