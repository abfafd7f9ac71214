"""DNS is asked which servers a SIP URI leads to (RFC 3263); nobody waits for it but who asked."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from omapush.errors import TryLater, shortened
from omapush.protocol.sip_servers import Kind, Place, Question, Server, Service, servers
from omapush.protocol.sip_uri import SipUri

_ONE_SERVER_S: Final = 1.0
"After that the next name server is asked."
_QUESTION_S: Final = 4.0
"Longest wait for the answer to one question."
_FAMILIES: Final[dict[Kind, int]] = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}

Records = tuple[Service | Place | str, ...]


class NameNotFound(TryLater):
    """DNS says that the name leads nowhere."""


class DnsSilent(TryLater):
    """No name server said anything about the name, or none of them could."""


class Found(NamedTuple):
    """Where a URI leads."""

    servers: tuple[Server, ...]
    "The first one is to be tried first; at least one."
    ttl_s: float
    "So long this holds; of addresses that the system knows, 0."


class _Said(NamedTuple):
    records: Records
    ttl_s: float
    is_silent: bool = False


async def find(
    uri: SipUri,
    *,
    transports: Sequence[str],
    families: Sequence[Kind] = ("A", "AAAA"),
    by_system: bool = False,
) -> Found:
    """
    Return the servers behind a URI; see `servers` for the arguments.

    `by_system`: addresses are those that the system finds, which knows /etc/hosts as well.

    Raises:
        NameNotFound: there is no such name.
        DnsSilent: nobody says whether there is.
    """
    rules = servers(uri, transports=transports, families=families, chance=random.random)
    ttl_s, is_silent = float("inf"), False
    try:
        questions = next(rules)
        while True:
            said = await asyncio.gather(*(_ask(one, by_system=by_system) for one in questions))
            ttl_s = min([ttl_s, *(one.ttl_s for one in said if one.records)])
            is_silent = is_silent or any(one.is_silent for one in said)
            records = {question: one.records for question, one in zip(questions, said, strict=True)}
            questions = rules.send(records)
    except StopIteration as end:
        found: tuple[Server, ...] = end.value
    if found:
        return Found(found, ttl_s)
    if is_silent:
        raise DnsSilent(f"no answer from DNS about {shortened(uri.host)}")
    raise NameNotFound(f"DNS knows no address of {shortened(uri.host)}")


def _resolver() -> dns.asyncresolver.Resolver:
    """It reads resolv.conf, which may be another one by now."""
    return dns.asyncresolver.Resolver()


async def _ask(question: Question, *, by_system: bool) -> _Said:
    if by_system and question.kind in _FAMILIES:
        return await _ask_system(question)
    try:
        name = dns.name.from_text(question.name)
    except dns.exception.DNSException:
        return _Said((), 0.0)  # no name in DNS may be so long
    try:
        resolver = _resolver()
        resolver.timeout = _ONE_SERVER_S
        answer = await resolver.resolve(
            name, question.kind, search=False, raise_on_no_answer=False, lifetime=_QUESTION_S
        )
    except dns.resolver.NXDOMAIN:
        return _Said((), 0.0)
    except (dns.exception.DNSException, OSError):
        return _Said((), 0.0, is_silent=True)
    records = tuple(_record(question.kind, one) for one in answer.rrset or ())
    return _Said(records, float(answer.chaining_result.minimum_ttl))


def _record(kind: Kind, record: Any) -> Service | Place | str:
    match kind:
        case "NAPTR":
            flags, service = record.flags.decode("latin-1"), record.service.decode("latin-1")
            return Service(record.order, record.preference, flags, service, _name(record.replacement))
        case "SRV":
            return Place(record.priority, record.weight, record.port, _name(record.target))
        case _:
            return str(record.address)


def _name(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower().removesuffix(".")


async def _ask_system(question: Question) -> _Said:
    loop, family = asyncio.get_running_loop(), _FAMILIES[question.kind]
    try:
        found = await loop.getaddrinfo(question.name, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _Said((), 0.0, is_silent=error.errno == socket.EAI_AGAIN)
    except (OSError, UnicodeError):
        return _Said((), 0.0)
    return _Said(tuple(dict.fromkeys(str(one[4][0]) for one in found)), 0.0)
