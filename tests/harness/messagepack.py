"""Records as a stranger to our code reads them: by the plain `msgpack` package, by name of field."""

from typing import Any

import msgpack  # type: ignore[import-untyped]


def unpacked(data: object) -> list[Any]:
    """The values of a stored record, in their order."""
    assert isinstance(data, bytes), f"no record: {data!r}"
    values: list[Any] = msgpack.unpackb(data)
    return values


def named(kind: type, values: list[Any]) -> dict[str, Any]:
    """Those values by the field names of the named tuple that the record is."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return dict(zip(fields, values, strict=True))
