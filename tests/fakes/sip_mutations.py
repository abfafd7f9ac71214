"""
Broken SIP messages, made from right ones: each breaks one thing of a category, the same for the same seed.

After the PROTOS suites: what broke parsers of their time was repetition, length, emptiness, signs, codings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

MARK: Final = b"0mark0"
"Stands in messages where each has something of its own: branch, tag, Call-ID."

Mutate = Callable[[Random, list[bytes], bytes], tuple[list[bytes], bytes]]
"Of start line and header lines, and the body."


class Mutant(NamedTuple):
    """A broken message, and what is the matter with it."""

    category: str
    raw: bytes


_NUMBER: Final = re.compile(rb"(?<![\d.])\d+(?![\d.])")
_SIGNS: Final = b";:<>\"@,= ()[]{}/?&*'\\%"
_ADDRESS: Final = re.compile(rb"\b\d+\.\d+\.\d+\.\d+\b")
_HUGE: Final = (b"4294967295", b"4294967296", b"9223372036854775808", b"-1", b"0", b"00000000001", b"9" * 300)


def mutants(seed: int, number: int, messages: Sequence[bytes]) -> Iterator[Mutant]:
    """Give so many mutants, category after category; none that names an address beyond the loopback."""
    random, names = Random(seed), list(CATEGORIES)
    made = 0
    while made < number:
        category = names[made % len(names)]
        message = random.choice(messages).replace(MARK, b"%d.%d" % (seed, made))
        head, _, body = message.partition(b"\r\n\r\n")
        lines, body = CATEGORIES[category](random, head.split(b"\r\n"), body)
        raw = b"\r\n".join(lines) + b"\r\n\r\n" + body
        if category == "cut off":
            raw = raw[: random.randrange(len(raw))]
        if all(address.startswith(b"127.") for address in _ADDRESS.findall(raw)):
            made += 1
            yield Mutant(category, raw)


def _header(random: Random, lines: list[bytes]) -> int:
    return random.randrange(1, len(lines))


def _with_value(lines: list[bytes], at: int, value: bytes) -> list[bytes]:
    name = lines[at].partition(b":")[0]
    return [*lines[:at], name + b": " + value, *lines[at + 1 :]]


def _split(random: Random, line: bytes) -> tuple[bytes, bytes]:
    at = random.randrange(len(line) + 1)
    return line[:at], line[at:]


def _inserted(random: Random, lines: list[bytes], what: bytes) -> list[bytes]:
    at = random.randrange(len(lines))
    before, after = _split(random, lines[at])
    return [*lines[:at], before + what + after, *lines[at + 1 :]]


def _repeated(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    at, times = _header(random, lines), random.choice((1, 2, 20, 300))
    return [*lines[:at], *[lines[at]] * times, *lines[at:]], body


def _missing(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    at = _header(random, lines)
    return lines[:at] + lines[at + 1 :], body


def _empty(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    value = random.choice((b"", b" ", b'""', b"<>", b";", b",", b":"))
    return _with_value(lines, _header(random, lines), value), body


def _overlong(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    what = random.choice((b"a", b";a", b",a", b"%41", b"\\", b"<", b'"', b" ", b"a:", b"\r\n "))
    return _inserted(random, lines, what * random.choice((64, 1_000, 20_000)) if what else b""), body


def _not_utf8(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    what = random.choice(
        (b"\xff", b"\xc0\xaf", b"\xc0\x8d\xc0\x8a", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x80")
    )
    return _inserted(random, lines, what * random.choice((1, 50))), body


def _formats(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    return _inserted(
        random, lines, random.choice((b"%s%n%x%d", b"%999999999d", b"{}{0.__class__}", b"$(ru)"))
    ), body


def _nul(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    return _inserted(random, lines, random.choice((b"\0", b"%00", b"\0\0\0\0", b"\x01\x7f"))), body


def _wrong_length(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    value = random.choice((*_HUGE, b"x", b"0x10", b"1 1", str(len(body) + 1).encode(), b"1", b"+5"))
    kept = [line for line in lines if not line.lower().startswith((b"content-length", b"l:"))]
    return [*kept, b"Content-Length: " + value], body


def _bad_cseq(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    method = random.choice((b"INVITE", b"ACK", b"CANCEL", b"NOTIFY", b"", b"\xff", b"A" * 500))
    value = random.choice((*_HUGE, b"1.5", b"", b"a")) + b" " + method
    kept = [line for line in lines if not line.lower().startswith(b"cseq")]
    return [*kept, b"CSeq: " + value], body


def _huge_number(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    at = random.randrange(len(lines))
    found = list(_NUMBER.finditer(lines[at]))
    if not found:
        return _bad_cseq(random, lines, body)
    one = random.choice(found)
    line = lines[at][: one.start()] + random.choice(_HUGE) + lines[at][one.end() :]
    return [*lines[:at], line, *lines[at + 1 :]], body


def _sign(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    """One sign more, less, or another in its place."""
    at = random.randrange(len(lines))
    line = lines[at]
    places = [index for index, char in enumerate(line) if char in _SIGNS]
    place = random.choice(places or [0])
    new = random.choice(
        (b"", bytes([random.choice(_SIGNS)]), line[place : place + 1] * random.choice((2, 100)))
    )
    return [*lines[:at], line[:place] + new + line[place + 1 :], *lines[at + 1 :]], body


def _line_ends(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    return _inserted(
        random, lines, random.choice((b"\r", b"\n", b"\r\n", b"\r\n ", b"\n\n", b"\r\n\r\n", b"\t"))
    ), body


def _start_line(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    line = random.choice(
        (
            b"SIP/2.0", b"SIP/2.0 99 x", b"SIP/2.0 4000000000 x", b"SIP/2.0 200", b"MESSAGE", b"", b" ",
            b"A" * 9_000 + b" sip:psa@home1.example SIP/2.0", b"MESSAGE sip:psa@home1.example SIP/3.0",
            b"MESSAGE sip:psa@home1.example SIP/2.0 x", b"MESSAGE sip:[::1 SIP/2.0", b"MESSAGE : SIP/2.0",
            b"MESSAGE sip:psa@home1.example?Route=x SIP/2.0", b"MESSAGE sip:psa@127.0.0.1:99999 SIP/2.0",
            b"MESSAGE sip:%00%zz%@home1.example SIP/2.0", b"MESSAGE tel:+" + b"1" * 5_000 + b" SIP/2.0",
            b"message sip:psa@home1.example SIP/2.0", b"MESSAGE\tsip:psa@home1.example\tSIP/2.0",
        )
    )  # fmt: skip
    return [line, *lines[1:]], body


def _parameters(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    one = random.choice(
        (b";a=b", b";", b";=", b';a="', b";tag=x", b";lr", b";branch=z9hG4bK", b";expires=-1", b";q=9")
    )
    at = _header(random, lines)
    return [*lines[:at], lines[at] + one * random.choice((1, 2, 200, 2_000)), *lines[at + 1 :]], body


def _body(random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    """The body is torn, and its length told as it is."""
    at = random.randrange(len(body) + 1)
    what = random.choice(
        (b"--m1\r\n", b"<" * 500, b"&#0;", b"\xff\xfe", b"]]>", b"\r\n\r\n", b"\0", b"<!DOCTYPE a>")
    )
    torn = body[:at] + what * random.choice((1, 40)) + body[at + random.choice((0, 1, 30)) :]
    kept = [line for line in lines if not line.lower().startswith(b"content-length")]
    return [*kept, b"Content-Length: %d" % len(torn)], torn


def _as_it_is(_random: Random, lines: list[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    return lines, body


CATEGORIES: Final[dict[str, Mutate]] = {
    "repeated": _repeated,
    "missing": _missing,
    "empty": _empty,
    "overlong": _overlong,
    "not UTF-8": _not_utf8,
    "format characters": _formats,
    "NUL": _nul,
    "wrong length": _wrong_length,
    "bad CSeq": _bad_cseq,
    "huge number": _huge_number,
    "a sign": _sign,
    "line ends": _line_ends,
    "start line": _start_line,
    "parameters": _parameters,
    "body": _body,
    "cut off": _as_it_is,
}
