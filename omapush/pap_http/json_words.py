"""What is wrong with a member or a parameter, in words that say what would be right."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from omapush.config import allowed
from omapush.errors import shortened

_NOT_IN_RANGE: Final = re.compile(r"Expected `(?:int|float)` [<>]")
_TOO_SHORT: Final = re.compile(r"Expected `(str|array)` of length >= 1")
_TOO_LONG: Final = re.compile(r"Expected `(str|array)` of length <= ([0-9]+)")
_NO_BASE64: Final = "Invalid base64"
_GROUPED: Final = re.compile(r"(?<=[0-9])_(?=[0-9])")
"How TOML, and no JSON, writes large numbers."
NEEDED_TIME: Final = "needed: a time with its zone, such as 2030-01-31T10:00:00Z"
_NO_TIME: Final = ("Invalid RFC3339", "Expected `datetime`", "Timestamp is out of range")
_WANTS_TIME: Final = "Expected `datetime"
_NO_JSON: Final = ("Input data was truncated", "JSON is malformed", "Invalid UTF-8")
"How msgspec begins what it says."
_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "array": "an array",
    "object": "an object",
    "datetime": "a time such as 2030-01-31T10:00:00Z",
    "null": "null",
}


def told(message: str, kind: Any) -> str:
    """
    Return the library's complaint in words of the interface; what is none of the usual ones as it is.

    `kind`: the type of the member or parameter, None when it is not known.
    """
    right = _GROUPED.sub("", allowed.right(kind))
    if message.startswith(_WANTS_TIME):
        return NEEDED_TIME
    if wrong := allowed.WRONG_TYPE.fullmatch(message):
        wanted = " or ".join(_NAMES.get(name, name) for name in wrong[1].split(" | "))
        return f"needed: {wanted}; this is {_NAMES.get(wrong[2], wrong[2])}"
    if unknown := allowed.NOT_ONE_OF.fullmatch(message):
        return f'"{shortened(unknown[1])}" is not known; needed: {right}' if right else message
    if _NOT_IN_RANGE.match(message) and right:
        return f"needed: {right}"
    if short := _TOO_SHORT.fullmatch(message):
        return "is empty" if short[1] == "str" else "needed: at least one"
    if long := _TOO_LONG.fullmatch(message):
        return f"needed: at most {long[2]}{' characters' if long[1] == 'str' else ''}"
    if message.startswith(_NO_BASE64):
        return "needed: base64 with = at its end where that is short, without line ends (RFC 4648 4)"
    if message.startswith(_NO_TIME):
        return NEEDED_TIME
    if message.startswith(_NO_JSON):
        return f"is no JSON: {message}"
    return message


def kind_of(signature: Any, key: str) -> Any:
    """Return the type of a parameter of a route, or of a member of its body; None when there is neither."""
    fields = signature.parameters
    if key in fields:
        found = fields[key]
        return Annotated[found.annotation, found.kwarg_definition]
    return allowed.kind_at(fields["data"].annotation, key) if "data" in fields else None
