"""A reader of pcap files that shares nothing with our writer, and checks what Wireshark would point at."""

import ipaddress
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One packet of the file."""

    at_us: int
    protocol: int
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sequence: int = 0
    acknowledged: int = 0
    "Of TCP."


def read(data: bytes) -> list[Frame]:
    """Return all packets; an AssertionError says what is wrong with the file."""
    magic, major, minor, zone, accuracy, longest, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor, zone, accuracy, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    frames, at = [], 24
    while at < len(data):
        seconds, microseconds, captured, length = struct.unpack_from("<IIII", data, at)
        assert microseconds < 1_000_000
        assert captured == length <= longest
        at += 16
        assert at + length <= len(data)
        frames.append(_frame(seconds * 1_000_000 + microseconds, data[at : at + length]))
        at += length
    return frames


def _frame(at_us: int, packet: bytes) -> Frame:
    if packet[0] >> 4 == 4:
        assert packet[0] & 15 == 5
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        assert _sum(packet[:20]) == 0xFFFF
        protocol, addresses, rest = packet[9], (packet[12:16], packet[16:20]), packet[20:]
    else:
        assert packet[0] >> 4 == 6
        assert int.from_bytes(packet[4:6], "big") == len(packet) - 40
        protocol, addresses, rest = packet[6], (packet[8:24], packet[24:40]), packet[40:]
    pseudo = b"".join(addresses) + len(rest).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    assert _sum(pseudo + rest) == 0xFFFF, "checksum of the transport"
    source_port, destination_port = struct.unpack_from(">HH", rest)
    ends = (
        (str(ipaddress.ip_address(addresses[0])), source_port),
        (str(ipaddress.ip_address(addresses[1])), destination_port),
    )
    if protocol == 17:
        assert int.from_bytes(rest[4:6], "big") == len(rest)
        return Frame(at_us, protocol, *ends, rest[8:])
    assert protocol == 6
    assert rest[12] >> 4 == 5
    sequence, acknowledged = struct.unpack_from(">II", rest, 4)
    return Frame(at_us, protocol, *ends, rest[20:], sequence, acknowledged)


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total
