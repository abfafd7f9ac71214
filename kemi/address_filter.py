"""Programs of the kernel's packet filter (classic BPF) that let packets pass by where they come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Instruction(NamedTuple):
    """As `struct sock_filter` of linux/filter.h."""

    code: int
    if_true: int
    if_false: int
    value: int


# BPF instructions (linux/bpf_common.h): class, size or operation, mode or source.
LOAD_BYTE: Final = 0x30
LOAD_WORD: Final = 0x20
LOAD_KEPT: Final = 0x60
KEEP: Final = 0x02
COPY_TO_X: Final = 0x07
AND: Final = 0x54
JUMP: Final = 0x05
IF_EQUAL: Final = 0x15
IF_EQUAL_X: Final = 0x1D
RETURN: Final = 0x06

IP_HEADER: Final = 0xFFF00000
"Offsets from here on count from the start of the IP header (SKF_NET_OFF)."
_PASS: Final = Instruction(RETURN, 0, 0, 0xFFFFFFFF)
_DROP: Final = Instruction(RETURN, 0, 0, 0)
_WORD: Final = 0xFFFFFFFF
_SOURCES: Final = {4: (12,), 6: (8, 12, 16, 20)}
"Where the words of the source address are in the header of an IP version."
_DESTINATIONS: Final = {4: (16,), 6: (24, 28, 32, 36)}


def passing_only(networks: Iterable[str]) -> list[Instruction]:
    """Return a program that passes packets from these networks and from their own destination only."""
    known = [ipaddress.ip_network(one) for one in networks]
    of_version_6 = _of_version(6, [one for one in known if one.version == 6])
    return [
        Instruction(LOAD_BYTE, 0, 0, IP_HEADER),
        Instruction(AND, 0, 0, 0xF0),
        # A condition jumps over at most 255 instructions, a plain jump over any number.
        Instruction(IF_EQUAL, 1, 0, 0x60),
        Instruction(JUMP, 0, 0, len(of_version_6)),
        *of_version_6,
        *_of_version(4, [one for one in known if one.version == 4]),
    ]


def _of_version(version: int, networks: list[Network]) -> list[Instruction]:
    sources, destinations = _SOURCES[version], _DESTINATIONS[version]
    kept = [
        one
        for place, source in enumerate(sources)
        for one in (Instruction(LOAD_WORD, 0, 0, IP_HEADER + source), Instruction(KEEP, 0, 0, place))
    ]
    own = [
        [
            Instruction(LOAD_WORD, 0, 0, IP_HEADER + destination),
            Instruction(COPY_TO_X, 0, 0, 0),
            Instruction(LOAD_KEPT, 0, 0, place),
            Instruction(IF_EQUAL_X, 0, 0, 0),
        ]
        for place, destination in enumerate(destinations)
    ]
    return [
        *kept,
        *_pass_if_all(own),
        *(one for network in networks for one in _pass_if_all(_comparisons(network))),
        _DROP,
    ]


def _comparisons(network: Network) -> list[list[Instruction]]:
    """One for each word of the address of which the network says something."""
    bits = network.max_prefixlen
    words = [
        (int(network.netmask) >> shift & _WORD, int(network.network_address) >> shift & _WORD)
        for shift in range(bits - 32, -1, -32)
    ]
    return [
        [
            Instruction(LOAD_KEPT, 0, 0, place),
            Instruction(AND, 0, 0, mask),
            Instruction(IF_EQUAL, 0, 0, value),
        ]
        for place, (mask, value) in enumerate(words)
        if mask
    ]


def _pass_if_all(comparisons: list[list[Instruction]]) -> list[Instruction]:
    """Each ends with a condition; the first that does not hold leads behind what lets the packet pass."""
    steps = [one for comparison in comparisons for one in comparison]
    return [
        *(
            one._replace(if_false=len(steps) - place) if one.code in (IF_EQUAL, IF_EQUAL_X) else one
            for place, one in enumerate(steps)
        ),
        _PASS,
    ]
