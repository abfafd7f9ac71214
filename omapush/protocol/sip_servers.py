"""
Which servers a SIP URI leads to, and in which order (RFC 3263 4): the rules, without asking DNS.

`servers` is a generator: it yields questions and is sent what DNS says to them, so that each program asks in
its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from omapush.protocol.ip_text import is_address
from omapush.protocol.sip_uri import SipUri

Kind = Literal["NAPTR", "SRV", "A", "AAAA"]
DEFAULT_PORT: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}
MOST_SERVERS: Final = 16
"Of one URI; what DNS lists beyond them is not used."
_MOST_RECORDS: Final = 32
# Service fields of NAPTR                                 RFC 3263 4.1, RFC 3401
_TRANSPORTS: Final = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
# _service._protocol                                      RFC 3263 4.2, RFC 2782
_SERVICES: Final = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NO_SERVICE: Final = ""
"Target `.` of an SRV record: the service is not there (RFC 2782)."


class Question(NamedTuple):
    """What DNS is asked for."""

    kind: Kind
    name: str
    "In lower case, without a dot at its end."


class Service(NamedTuple):
    """A NAPTR record."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Place(NamedTuple):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Server(NamedTuple):
    """One server that a request may go to."""

    host: str
    "An address; IPv6 without brackets."
    port: int
    transport: str
    "`udp`, `tcp` or `tls`."


class _Candidate(NamedTuple):
    """Where SRV records may be, and how the servers in them are reached."""

    name: str
    transport: str


Answers = Mapping[Question, Sequence[Service | Place | str]]
"Records to each question, none where there are none; addresses are texts."
Asking = Generator[Sequence[Question], Answers, tuple[Server, ...]]


def servers(
    uri: SipUri,
    *,
    transports: Sequence[str],
    families: Sequence[Kind] = ("A", "AAAA"),
    chance: Callable[[], float],
) -> Asking:
    """
    Return the servers behind a SIP or SIPS URI, the one to be tried first at the front.

    `transports` are those that we speak, the one we like best first, and `families` those of our addresses.
    `chance` gives numbers from 0 to 1: servers of one priority share the load by their weights.
    """
    host = uri.host.strip("[]").lower().removesuffix(".")
    told = _told_transport(uri)
    if is_address(host):
        transport = told or _usual(uri, transports)
        return (Server(host, uri.port or _port(transport), transport),)
    if uri.port is not None:
        transport = told or _usual(uri, transports)
        return (yield from _at([(host, uri.port, transport)], families))
    if told:
        candidates, is_chosen = [_Candidate(f"{_service(told)}.{host}", told)], True
    else:
        candidates, is_chosen = yield from _candidates(uri, host, transports)
    places = yield from _places(candidates, chance, all_of_them=is_chosen)
    if places is not None:
        return (yield from _at(places, families))
    transport = told or _usual(uri, transports)
    return (yield from _at([(host, _port(transport), transport)], families))


def _candidates(
    uri: SipUri, host: str, transports: Sequence[str]
) -> Generator[Sequence[Question], Answers, tuple[list[_Candidate], bool]]:
    """Return where SRV records may be; true: the domain has said so, and all of them count (RFC 3263 4.1)."""
    question = Question("NAPTR", host)
    answers = yield [question]
    found = [one for one in answers.get(question, ()) if isinstance(one, Service)]
    chosen = []
    for one in sorted(found[:_MOST_RECORDS]):
        transport = _TRANSPORTS.get(one.service.upper(), "")
        is_secure = uri.scheme != "sips" or transport == "tls"
        if one.flags.lower() == "s" and transport in transports and is_secure and one.replacement:
            chosen.append(_Candidate(one.replacement, transport))
    if chosen:
        return chosen, True
    spoken = [one for one in transports if uri.scheme != "sips" or one == "tls"]
    return [_Candidate(f"{_service(one)}.{host}", one) for one in spoken], False


def _places(
    candidates: Sequence[_Candidate], chance: Callable[[], float], *, all_of_them: bool
) -> Generator[Sequence[Question], Answers, list[tuple[str, int, str]] | None]:
    """Return host, port and transport of each SRV record in order; None: there are no such records."""
    answers = yield [Question("SRV", one.name) for one in candidates]
    found: list[tuple[str, int, str]] | None = None
    for name, transport in candidates:
        records = [one for one in answers.get(Question("SRV", name), ()) if isinstance(one, Place)]
        if records:
            ordered = _ordered(records[:_MOST_RECORDS], chance)
            found = [*(found or []), *((one.target, one.port, transport) for one in ordered)]
            if not all_of_them:
                break
    return found


def _ordered(records: Sequence[Place], chance: Callable[[], float]) -> list[Place]:
    """By priority, and by chance according to their weights among equals (RFC 2782)."""
    left = sorted(one for one in records if one.target != _NO_SERVICE)
    ordered: list[Place] = []
    while left:
        equals = [one for one in left if one.priority == left[0].priority]
        chosen = _drawn(equals, chance())
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def _drawn(equals: Sequence[Place], chance: float) -> Place:
    """Where nobody has a weight, all have the same."""
    is_weighted = any(one.weight for one in equals)
    weights = [one.weight if is_weighted else 1 for one in equals]
    left = chance * sum(weights)
    for one, weight in zip(equals, weights, strict=True):
        left -= weight
        if left < 0:
            return one
    return equals[-1]


def _at(
    places: Sequence[tuple[str, int, str]], families: Sequence[Kind]
) -> Generator[Sequence[Question], Answers, tuple[Server, ...]]:
    """Return the servers at these hosts."""
    hosts = dict.fromkeys(host for host, _, _ in places)
    answers = yield [Question(family, host) for host in hosts for family in families]
    found = (
        Server(address, port, transport)
        for host, port, transport in places
        for family in families
        for address in answers.get(Question(family, host), ())
        if isinstance(address, str)
    )
    return tuple(dict.fromkeys(found))[:MOST_SERVERS]


def _told_transport(uri: SipUri) -> str:
    """What the URI says; `sips` with `transport=tcp` means TLS over it (RFC 3261 26.2.2)."""
    told = (uri.param("transport") or "").lower()
    return "tls" if told and uri.scheme == "sips" else told


def _usual(uri: SipUri, transports: Sequence[str]) -> str:
    """RFC 3263 4.1: TLS for sips, and UDP for sip, if we speak it."""
    if uri.scheme == "sips":
        return "tls"
    return "udp" if "udp" in transports or not transports else transports[0]


def _service(transport: str) -> str:
    return _SERVICES.get(transport, f"_sip._{transport}")


def _port(transport: str) -> int:
    return DEFAULT_PORT.get(transport, 5060)
