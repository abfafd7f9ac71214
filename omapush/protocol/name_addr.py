"""Addresses in SIP headers (Contact, To, Route, P-Associated-URI) and the tokeniser under them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from omapush.errors import MalformedSip, shortened
from omapush.protocol.sip_uri import Params, address_of_record

LONGEST_VALUE: Final = 8192
"Characters of one header value."
MOST_ADDRESSES: Final = 32
"Addresses in one header, unless the caller says otherwise."

# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
# LWS, SWS                                                RFC 3261 25.1; a folded line counts as space
_SWS: Final = r"[ \t\r\n]*+"
# token                                                   RFC 3261 25.1
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - a grammar rule, not a secret
# quoted-string, without its quotes                       RFC 3261 25.1
_QUOTED_TEXT: Final = r"(?:[^\"\\\x00-\x08\x0a-\x1f\x7f]++|\\[\x00-\x09\x0b\x0c\x0e-\x7f])*"
# absoluteURI, as far as a header needs it                RFC 3261 25.1
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
# name-addr / addr-spec; an addr-spec with `?` or `,` needs brackets   RFC 3261 20.10
_ADDRESS: Final = re.compile(
    rf"{_SWS}(?:(?:\"({_QUOTED_TEXT})\"|({_TOKEN}(?:[ \t\r\n]++{_TOKEN})*))?{_SWS}"
    rf"<{_SWS}({_SCHEME}[^\s<>\"\x00-\x1f]++){_SWS}>|({_SCHEME}[^\s<>\",;?\x00-\x1f]++)){_SWS}"
)
# generic-param; `<...>` without quotes is not in it, but seen as the value of +sip.instance   RFC 3261 25.1
_PARAM: Final = re.compile(
    rf";{_SWS}({_TOKEN}){_SWS}(?:={_SWS}(?:\"({_QUOTED_TEXT})\"|(<[^<>\"\s]*+>|[^\s;,<>\"]++)){_SWS})?"
)
_ESCAPED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_ESCAPE: Final = re.compile(r'["\\]')
# any identity that can still be found in a list that is not one
_LOOSE_URI: Final = re.compile(rf'"{_QUOTED_TEXT}"?|((?:sips?|tel):[^\s<>",;]++)', re.IGNORECASE)
# an address and its parameters, whatever stands before
_BRACKETED: Final = re.compile(r"<[^<>\"\s]++>[^<>,\"]*+")


class NameAddr(NamedTuple):
    """One address of a header, with the parameters that belong to the header and not to the URI."""

    display_name: str
    "Without quotes and escapes; empty when absent."
    uri: str
    "As written, URI parameters included."
    params: Params = ()
    "Names in lower case; values as written, without their quotes but with their escapes."
    quoted: frozenset[str] = frozenset()
    "Names of the parameters whose value was in quotes."

    def param(self, name: str) -> str | None:
        """Return the first value of `name` (lower case), None when it is absent or a name only."""
        for key, value in self.params:
            if key == name:
                return value
        return None

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{''.join(self._written_params())}"

    def _written_params(self) -> Iterator[str]:
        for name, value in self.params:
            if value is None:
                yield f";{name}"
            else:
                yield f';{name}="{value}"' if name in self.quoted else f";{name}={value}"


def quote(text: str) -> str:
    """Return `text` as a quoted-string."""
    return '"' + _NEEDS_ESCAPE.sub(r"\\\g<0>", text) + '"'


def unquote(text: str) -> str:
    """Return what the inside of a quoted-string stands for: its escapes undone."""
    return _ESCAPED_PAIR.sub(r"\1", text) if "\\" in text else text


def parse_one(value: str, field: str) -> NameAddr:
    """
    Return the address that `value` is; parameters of an address without `<>` belong to the header.

    Raises:
        MalformedSip: naming `field`.
    """
    if len(value) > LONGEST_VALUE:
        raise MalformedSip(field, f"longer than {LONGEST_VALUE} characters")
    address = _ADDRESS.match(value)
    if address is None:
        raise MalformedSip(field, f"no address: {shortened(value)}")
    in_quotes, words, uri, bare_uri = address.groups()
    params, quoted = _params(value, address.end(), field)
    display_name = unquote(in_quotes) if in_quotes else words or ""
    return NameAddr(display_name, uri or bare_uri, params, quoted)


def parse_list(value: str, field: str, limit: int = MOST_ADDRESSES) -> tuple[NameAddr, ...]:
    """
    Return the addresses of a comma-separated header value.

    Raises:
        MalformedSip: naming `field`; also when one element is empty or there are more than `limit`.
    """
    pieces = split_quoted(value, ",", field)
    if len(pieces) > limit:
        raise MalformedSip(field, f"more than {limit} addresses")
    return tuple([parse_one(piece, field) for piece in pieces])


def first_sip_address(value: str) -> NameAddr | None:
    """
    Return the first address with a SIP URI that can be read in a header value, None when there is none.

    For headers whose writer must be understood even when its display name is no SIP.
    """
    value = value[:LONGEST_VALUE]
    try:
        pieces = split_quoted(value, ",", "address")
    except MalformedSip:
        pieces = []
    for piece in (*pieces, *(found[0] for found in _BRACKETED.finditer(value))):
        try:
            address = parse_one(piece, "address")
        except MalformedSip:
            continue
        if address.uri.lower().startswith(("sip:", "sips:")):
            return address
    return None


def split_quoted(value: str, separator: str, field: str) -> list[str]:
    """
    Return the pieces between separators (`,` or `;`), trimmed; inside quotes and `<>` it separates nothing.

    Raises:
        MalformedSip: a quote or bracket is not closed, or the value is too long.
    """
    if len(value) > LONGEST_VALUE:
        raise MalformedSip(field, f"longer than {LONGEST_VALUE} characters")
    pieces = []
    start = 0
    while True:
        piece = _PIECE[separator].match(value, start)
        end = piece.end() if piece else start
        if end < len(value) and value[end] != separator:
            raise MalformedSip(field, f"quote or bracket not closed: {shortened(value[start:])}")
        pieces.append(value[start:end].strip(" \t\r\n"))
        if end == len(value):
            return pieces
        start = end + 1


def associated_uris(value: str) -> tuple[str, ...]:
    """
    Return the public identities of a P-Associated-URI in canonical form, those that can be read.

    Never raises: some S-CSCFs write all of them into one pair of brackets, and nobody depends on them.
    """
    value = value[:LONGEST_VALUE]
    try:
        return _identities(address.uri for address in parse_list(value, "P-Associated-URI"))
    except MalformedSip:
        return _readable_identities(found[1] for found in _LOOSE_URI.finditer(value) if found[1])


def _identities(uris: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address_of_record(uri, "P-Associated-URI") for uri in uris))


def _readable_identities(uris: Iterator[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for uri in uris:
        try:
            found[address_of_record(uri, "P-Associated-URI")] = None
        except MalformedSip:
            continue
        if len(found) == MOST_ADDRESSES:
            break
    return tuple(found)


def _params(value: str, position: int, field: str) -> tuple[Params, frozenset[str]]:
    params: list[tuple[str, str | None]] = []
    quoted: list[str] = []
    while position < len(value):
        found = _PARAM.match(value, position)
        if found is None:
            raise MalformedSip(field, f"not a parameter: {shortened(value[position:])}")
        written_name, in_quotes, plain = found.groups()
        name = written_name.lower()
        if in_quotes is not None:
            quoted.append(name)
        params.append((name, plain if in_quotes is None else in_quotes))
        position = found.end()
    return tuple(params), frozenset(quoted)


def _piece(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?:[^\"<{separator}]++|\"{_QUOTED_TEXT}\"|<[^<>]*+>)*")


_PIECE: Final = {",": _piece(","), ";": _piece(";")}
