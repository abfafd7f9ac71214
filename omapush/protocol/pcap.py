"""
Captured messages as a pcap file, which Wireshark, tshark and sngrep read.

What crossed UDP gets IP and UDP headers. What crossed TCP or TLS gets TCP headers whose numbers go on from
message to message of one direction, so that a message larger than a packet is put together again; TLS is
written as what was inside of it.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from omapush.protocol.packet import Endpoint, Packet

_FILE: Final = struct.Struct("<IHHiIII")
_MAGIC: Final = 0xA1B2C3D4
"Times in microseconds."
_RAW_IP: Final = 101
"LINKTYPE_RAW: each packet begins with its IP header."
_LONGEST: Final = 65_535
_RECORD: Final = struct.Struct("<IIII")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_UDP: Final = struct.Struct("!HHHH")
_TCP: Final = struct.Struct("!HHIIBBHHH")
_IS_UDP, _IS_TCP = 17, 6
_PUSH_AND_ACK: Final = 0x18
_WINDOW: Final = 65_535
_HOPS: Final = 64
_DO_NOT_FRAGMENT: Final = 0x4000
_SEGMENT: Final = 60_000
"Octets of one TCP segment, or of what is written of a datagram."
_FIRST_NUMBER: Final = 1

_Direction = tuple[Endpoint, Endpoint]


def write(packets: Iterable[Packet]) -> Iterator[bytes]:
    """Give the parts of a file that holds these messages, in their order."""
    yield _FILE.pack(_MAGIC, 2, 4, 0, 0, _LONGEST, _RAW_IP)
    numbers: dict[_Direction, int] = defaultdict(lambda: _FIRST_NUMBER)
    for packet in packets:
        for data in _as_ip(packet, numbers):
            seconds, microseconds = divmod(packet.at_us, 1_000_000)
            yield _RECORD.pack(seconds & 0xFFFFFFFF, microseconds, len(data), len(data)) + data


def _as_ip(packet: Packet, numbers: dict[_Direction, int]) -> Iterator[bytes]:
    if packet.transport == "udp":
        payload = packet.payload[:_SEGMENT]
        head = _UDP.pack(packet.source.port, packet.destination.port, _UDP.size + len(payload), 0)
        yield _in_ip(packet, _IS_UDP, head, 6, payload)
        return
    there = packet.source, packet.destination
    back = packet.destination, packet.source
    for first in range(0, len(packet.payload), _SEGMENT):
        payload = packet.payload[first : first + _SEGMENT]
        head = _TCP.pack(
            packet.source.port,
            packet.destination.port,
            numbers[there] & 0xFFFFFFFF,
            numbers[back] & 0xFFFFFFFF,
            _TCP.size // 4 << 4,
            _PUSH_AND_ACK,
            _WINDOW,
            0,
            0,
        )
        numbers[there] += len(payload)
        yield _in_ip(packet, _IS_TCP, head, 16, payload)


def _in_ip(packet: Packet, protocol: int, head: bytes, checksum_at: int, payload: bytes) -> bytes:
    """Put the IP header in front, and the checksum into the transport's header."""
    source, destination = packet.source.packed, packet.destination.packed
    if len(source) != len(destination):  # one of them is not known
        source, destination = (one.rjust(16, b"\0") for one in (source, destination))
    length = len(head) + len(payload)
    if len(source) == 4:
        bare = _IPV4.pack(
            0x45, 0, _IPV4.size + length, 0, _DO_NOT_FRAGMENT, _HOPS, protocol, 0, source, destination
        )
        ip = bare[:10] + _checksum(bare).to_bytes(2) + bare[12:]
        pseudo = struct.pack("!4s4sBBH", source, destination, 0, protocol, length)
    else:
        ip = _IPV6.pack(6 << 28, length, protocol, _HOPS, source, destination)
        pseudo = struct.pack("!16s16sIHBB", source, destination, length, 0, 0, protocol)
    checksum = _checksum(pseudo + head + payload)
    if protocol == _IS_UDP and checksum == 0:  # which would say that there is none (RFC 768)
        checksum = 0xFFFF
    return ip + head[:checksum_at] + checksum.to_bytes(2) + head[checksum_at + 2 :] + payload


def _checksum(data: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
