"""Forms that values of the configuration must have, and the words for a value of another type."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

from omapush.config import allowed
from omapush.errors import BadConfiguration, shortened

# ASCII with IGNORECASE: else [A-Z] and [a-z] take the Kelvin sign and the long s, too.
# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
# host, port                                              RFC 3261 25.1
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z](?:[0-9A-Za-z.\-]{0,252}[0-9A-Za-z])?)"
_PORT: Final = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
SIP_LISTEN: Final = re.compile(rf"(?:udp|tcp|tls):{_HOST}:{_PORT}")
HOST: Final = re.compile(_HOST)
HOST_AND_PORT: Final = re.compile(rf"{_HOST}(?::{_PORT})?")
HTTP_LISTEN: Final = re.compile(rf"{_HOST}:{_PORT}")
# userinfo, uri-parameters                                RFC 3261 25.1
_USER: Final = r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]{1,128}"
_PARAMCHARS: Final = r"[A-Za-z0-9\-_.!~*'()\[\]/:&+$%]{1,128}"
_PARAMETERS: Final = rf"(?:;{_PARAMCHARS}(?:={_PARAMCHARS})?){{0,16}}"
# SIP-URI without headers, which would add to requests    RFC 3261 25.1
SIP_URI: Final = re.compile(rf"sip:(?:{_USER}@)?{_HOST}(?::{_PORT})?{_PARAMETERS}", re.ASCII | re.IGNORECASE)
# global-number                                           RFC 3966 3
TEL_URI: Final = re.compile(r"tel:\+[0-9\-.()]{0,31}[0-9]", re.ASCII | re.IGNORECASE)
# token, the part of an ioi behind its type               RFC 7315 5.6
IOI: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,128}")
# http-URI, with or without credentials                  RFC 9110 4.2
HTTP_URL: Final = re.compile(
    rf"https?://(?:[A-Za-z0-9\-_.!~*'()&=+$,;%:]{{1,128}}@)?{_HOST}(?::{_PORT})?(?:[/?][^\s#<>\"]{{0,1024}})?"
)
ARI: Final = re.compile(r"[A-Za-z0-9.\-%*_+`'~]{1,64}")
# a public identity, or its beginning and `*`
AOR_PATTERN: Final = re.compile(r"(?:sips?:|tel:|\*)[^\s<>\";,]{0,256}")
# the same, or any shell pattern that such an identity could fit
RECIPIENTS: Final = re.compile(r"(?:sips?:|tel:|[*?\[])[^\s<>\"]{0,256}")
# media type without parameters; either side, or both in one, may be a shell pattern
MEDIA_TYPE: Final = re.compile(r"[^\s;/]{1,127}/[^\s;/]{1,127}|[^\s;/]{0,127}\*[^\s;/]{0,127}")
# event-type, event-param                                 RFC 6665 8.4
_EVENT_WORD: Final = r"[A-Za-z0-9\-!%*_+`'~]{1,64}"
_EVENT_PARAM: Final = r"[A-Za-z0-9.\-!%*_+`'~]{1,64}(?:=[A-Za-z0-9.\-!%*_+`'~:/@,]{1,128})?"
EVENT: Final = re.compile(rf"{_EVENT_WORD}(?:\.{_EVENT_WORD}){{0,4}}(?:;{_EVENT_PARAM}){{0,16}}")
# a host name, or the end of one behind `*.`               RFC 5922 7.1
HOST_PATTERN: Final = re.compile(r"(?:\*\.)?[0-9A-Za-z](?:[0-9A-Za-z.\-]{0,252}[0-9A-Za-z])?")
NAME: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}")

# Argon2id hash: memory in KiB, passes, lanes; salt and digest in base64      PHC string format
_PASSWORD_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,8}),t=([0-9]{1,3}),p=([0-9]{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
_COSTS: Final = ((8_192, 262_144), (1, 10), (1, 8))
"Least and most of each: cheaper ones are guessed too fast, dearer ones let a stranger stop the api."

_TYPES: Final = {
    "int": ("a whole number", "4"),
    "float": ("a number", "2.5"),
    "bool": ("true or false", ""),
    "str": ("text", '"value"'),
    "array": ("a list", '["value"]'),
    "object": ("a table", '{ key = "value" }'),
}
"msgspec's name of a type: what TOML calls it, and an example."
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_NOT_IN_RANGE: Final = re.compile(r"Expected `[a-z]+` (?:[<>]=? .*|matching regex .*)", re.DOTALL)
"How msgspec begins what it says about a value of the right type."
_NEVER: Final = re.compile(r"(?!)")
_LONGEST_PROBLEM: Final = 400


def is_password_hash(text: str) -> bool:
    """Tell whether a text is an Argon2id hash in PHC form, at a cost that the api can afford."""
    found = _PASSWORD_HASH.fullmatch(text)
    if found is None or any(len(found[part]) % 4 == 1 for part in (4, 5)):
        return False
    return all(least <= int(found[at + 1]) <= most for at, (least, most) in enumerate(_COSTS))


def require(path: str, key: str, value: str, form: re.Pattern[str], right: str) -> None:
    """
    Do nothing when a value has its form.

    Raises:
        BadConfiguration: it has not; the text has an example of what would be right.
    """
    if form.fullmatch(value) is None:
        raise BadConfiguration(f"{path}: {key}", f'"{shortened(value)}" is wrong; right would be {right}')


def require_recipients(path: str, key: str, patterns: tuple[str, ...]) -> None:
    """
    Do nothing when each of the shell patterns could fit an address of record, else nobody would be meant.

    Raises:
        BadConfiguration: one could not; the text has what would be right.
    """
    for pattern in patterns:
        require(path, key, pattern, RECIPIENTS, '"sip:*@home1.example", or "tel:*"')
        user, at, host = pattern.rpartition("@")
        if host != host.lower():
            right = f'"{shortened(f"{user}{at}{host.lower()}")}": hosts are compared in lower case'
            require(path, key, pattern, _NEVER, right)


def in_words_of_toml(problem: str, kind: Any) -> str:
    """
    Return msgspec's complaint about a value in an operator's words; what it says otherwise as it is.

    `kind`: the type of the key, which says what would be right.
    """
    right = allowed.right(kind)
    behind = f"; right would be {right}" if right else ""
    if wrong := allowed.WRONG_TYPE.fullmatch(problem):
        wanted, example = _TYPES.get(wrong[1].removesuffix(" | null"), (wrong[1], ""))
        such_as = f" such as {example}" if example and not right else ""
        return f"expected {wanted}{such_as}, this is {_TYPES.get(wrong[2], (wrong[2], ''))[0]}{behind}"
    if unknown := allowed.NOT_ONE_OF.fullmatch(problem):
        return f'"{shortened(unknown[1])}" is wrong{behind}'
    if _NOT_IN_RANGE.fullmatch(problem) and right:
        return f"is wrong{behind}"
    return problem


def explained(path: str, where: str, message: str, table: type[Struct]) -> tuple[str, str]:
    """
    Return file and key, and the problem, of what msgspec says about table `where`.

    `table`: what that table may hold.
    """
    problem, _, at = message.partition(" - at `$")
    key = shortened(at.strip("`").lstrip(".").replace("[...]", ""))
    if unknown := _UNKNOWN.fullmatch(problem):
        problem = "unknown key; known are " + ", ".join(allowed.keys_at(table, key))
        key = ".".join(filter(None, (key, shortened(unknown[1]))))
    elif missing := _MISSING.fullmatch(problem):
        key = ".".join(filter(None, (key, missing[1])))
        right = allowed.right(allowed.kind_at(table, key))
        problem = "is missing" + (f"; right would be {right}" if right else "")
    else:
        problem = in_words_of_toml(problem, allowed.kind_at(table, key))
    problem = shortened(problem, _LONGEST_PROBLEM)
    return f"{path}: {where}.{key}" if key else f"{path}: {where}", problem
