"""
HEP3: packets for a capture server such as Homer (the Homer Encapsulation Protocol, version 3).

A packet is `HEP3`, its whole length, and chunks: vendor (0: all), kind, length with these six octets, value.
"""

from __future__ import annotations

import struct
from typing import Final

from omapush.protocol.packet import Packet

LARGEST: Final = 65_507
"Octets of one packet: what UDP takes."

_MARK: Final = b"HEP3"
_HEAD: Final = struct.Struct("!4sH")
_CHUNK: Final = struct.Struct("!HHH")
_FAMILY, _PROTOCOL, _SOURCE_4, _DESTINATION_4, _SOURCE_6, _DESTINATION_6 = range(1, 7)
_SOURCE_PORT, _DESTINATION_PORT, _SECONDS, _MICROSECONDS, _KIND, _AGENT = range(7, 13)
_KEY: Final = 14
_PAYLOAD: Final = 15
_CORRELATION: Final = 17
_IPV4, _IPV6 = 2, 10
_UDP, _TCP = 17, 6
_SIP: Final = 1


def encode(packet: Packet, *, agent: int, correlation: str, key: str = "") -> bytes:
    """
    Return a message as a HEP3 packet; its end is left out where it would not fit into one.

    `agent`: number of the capture agent, 32 bits; `correlation`: what ties messages together; `key`: what the
    capture server knows the agent by, if it asks.
    """
    is_ipv6 = packet.source.is_ipv6 or packet.destination.is_ipv6
    chunks = [
        _chunk(_FAMILY, bytes([_IPV6 if is_ipv6 else _IPV4])),
        _chunk(_PROTOCOL, bytes([_UDP if packet.transport == "udp" else _TCP])),
        _chunk(_SOURCE_6 if is_ipv6 else _SOURCE_4, _address(packet.source.packed, is_ipv6=is_ipv6)),
        _chunk(
            _DESTINATION_6 if is_ipv6 else _DESTINATION_4,
            _address(packet.destination.packed, is_ipv6=is_ipv6),
        ),
        _chunk(_SOURCE_PORT, packet.source.port.to_bytes(2)),
        _chunk(_DESTINATION_PORT, packet.destination.port.to_bytes(2)),
        _chunk(_SECONDS, (packet.at_us // 1_000_000).to_bytes(4)),
        _chunk(_MICROSECONDS, (packet.at_us % 1_000_000).to_bytes(4)),
        _chunk(_KIND, bytes([_SIP])),
        _chunk(_AGENT, agent.to_bytes(4)),
        _chunk(_CORRELATION, correlation.encode()[:255]),
    ]
    if key:
        chunks.append(_chunk(_KEY, key.encode()[:255]))
    room = LARGEST - _HEAD.size - sum(map(len, chunks)) - _CHUNK.size
    body = b"".join([*chunks, _chunk(_PAYLOAD, packet.payload[:room])])
    return _HEAD.pack(_MARK, _HEAD.size + len(body)) + body


def _address(packed: bytes, *, is_ipv6: bool) -> bytes:
    """Beside an IPv6 address an IPv4 one is mapped (RFC 4291 2.5.5.2)."""
    return b"\0" * 10 + b"\xff\xff" + packed if is_ipv6 and len(packed) == 4 else packed


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(0, kind, _CHUNK.size + len(value)) + value
