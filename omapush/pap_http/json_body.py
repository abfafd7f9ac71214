"""
Bodies of the JSON interface: of its types alone, and with each name once.

RFC 8259 leaves open what a name means that comes twice; what stands before us may have read the other of the
two (RFC 7493 2.3 forbids it). And a number in the place of a time, or a text in that of a truth value, is a
mistake of a program that would rather be told than guessed at.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, SerializationException

from omapush.errors import shortened

_AT: Final = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<key>.*)`", re.DOTALL)
"How msgspec says what is wrong where."
_HALF: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89aAbB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89aAbB][0-9a-fA-F]{2})\\u[dD][c-fC-F])"
)
"One of the two escapes that a character above U+FFFF takes, without the other."
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LARGE: Final = 1_048_576
_PAIRS: Final = json.JSONDecoder(object_pairs_hook=list)


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is read as the type that its route takes."""

    async def json(self) -> Any:
        """
        Return the body.

        Raises:
            SerializationException: it is no JSON.
            ClientException: it is of another type; names the member.
        """
        field = self.route_handler.parsed_data_field
        return decoded(await self.body(), Any if field is None else field.annotation)


def decoded(body: bytes, kind: Any) -> Any:
    """Return the object that a body is, as a value of type `kind`; raises as `JsonRequest.json` does."""
    try:
        value = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        _refuse_malformed(body)
        found = _AT.fullmatch(str(error))
        raise _refused(*((found["key"], found["problem"]) if found else ("data", str(error)))) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _malformed(body, error) from error
    _refuse_twice(body, "")
    return value


def _refuse_malformed(body: bytes) -> None:
    """What is no JSON behind its first mistake is told that, and not the mistake."""
    try:
        msgspec.json.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _malformed(body, error) from error


def _malformed(body: bytes, error: Exception) -> SerializationException:
    if isinstance(error, UnicodeDecodeError):
        return SerializationException("Invalid UTF-8")
    is_half = _HALF.search(body) is not None  # the library says that something is missing at the end
    return SerializationException(
        "JSON is malformed: half of a surrogate pair (RFC 7493 2.1)" if is_half else str(error)
    )


@lru_cache(maxsize=32)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _refuse_twice(written: bytes, above: str) -> None:
    """
    Raise when an object has a name twice.

    Of two equal names the library keeps the last, so that there are more quotation marks than the members
    that are left account for. Those of a name with an escaped one do so, too: only then all names are
    looked at.
    """
    members = _MEMBERS.decode(written)
    if written.count(b'"') != 2 * len(members) + b"".join(members.values()).count(b'"'):
        _refuse_second(written, above)
    if written.count(b"{") > 1:
        for name, raw in members.items():
            if bytes(memoryview(raw)[:1]) == b"{":
                _refuse_twice(bytes(raw), f"{above}{name}.")


def _refuse_second(written: bytes, above: str) -> None:
    """Raise for the second of two equal names; what is large is not read for which it is."""
    if len(written) > _LARGE:
        raise _refused(above.rstrip(".") or "data", "has a name twice")
    seen: set[str] = set()
    for name, _ in _PAIRS.decode(written.decode()):
        if name in seen:
            raise _refused(f"{above}{shortened(name)}", "comes twice")
        seen.add(name)


def _refused(key: str, problem: str) -> ClientException:
    return ClientException(f"{key}: {problem}", extra=[{"key": key, "message": problem}])
