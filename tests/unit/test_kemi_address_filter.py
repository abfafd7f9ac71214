"""The program that the kernel runs for each packet to our TCP sockets, run here on headers of our own."""

from __future__ import annotations

import ipaddress
import struct

from address_filter import Instruction, passing_only
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = st.ip_addresses()
V4, V6 = ipaddress.IPv4Address, ipaddress.IPv6Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def header(source: Address, destination: Address) -> bytes:
    """The head of an IP packet, as far as addresses are in it."""
    if source.version == 4:
        return struct.pack("!B11x4s4s", 0x45, source.packed, destination.packed)
    return struct.pack("!B7x16s16s", 0x60, source.packed, destination.packed)


def passes(program: list[Instruction], packet: bytes) -> bool:
    """What the kernel does with classic BPF, as far as we use it."""
    accumulator = index = at = 0
    kept: dict[int, int] = {}
    for _ in range(len(program)):  # jumps lead forward only
        code, if_true, if_false, value = program[at]
        at += 1
        match code:
            case 0x30:
                accumulator = packet[value - 0xFFF00000]
            case 0x20:
                (accumulator,) = struct.unpack_from("!I", packet, value - 0xFFF00000)
            case 0x60:
                accumulator = kept[value]
            case 0x02:
                kept[value] = accumulator
            case 0x07:
                index = accumulator
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15 | 0x1D:
                at += if_true if accumulator == (value if code == 0x15 else index) else if_false
            case 0x06:
                return value > 0
            case _:
                raise AssertionError(f"instruction {code:#x}")
    raise AssertionError("the program does not end")


def network_of(address: Address, length: int) -> str:
    return str(ipaddress.ip_network((address, length % (address.max_prefixlen + 1)), strict=False))


@given(st.lists(st.builds(network_of, ADDRESSES, st.integers(0, 128)), max_size=5), ADDRESSES, st.data())
def test_what_comes_from_a_network_passes_and_nothing_else_does(
    networks: list[str], source: Address, data: st.DataObject
) -> None:
    destination = data.draw(st.ip_addresses(v=source.version))
    known = [ipaddress.ip_network(one) for one in networks]
    expected = source == destination or any(source in network for network in known)

    assert passes(passing_only(networks), header(source, destination)) == expected


@given(ADDRESSES, st.integers(1, 128), st.integers(0, 127), st.data())
def test_one_bit_decides(address: Address, length: int, bit: int, data: st.DataObject) -> None:
    bits = address.max_prefixlen
    length, bit = min(length, bits), bit % bits
    other = type(address)(int(address) ^ 1 << bits - 1 - bit)
    destination = data.draw(st.ip_addresses(v=address.version).filter(lambda one: one != other))

    is_inside = passes(passing_only([network_of(address, length)]), header(other, destination))
    assert is_inside == (bit >= length)


def test_who_is_at_the_same_address_passes() -> None:
    for address in (V4("192.0.2.1"), V6("2001:db8::1")):
        assert passes(passing_only([]), header(address, address))
    assert not passes(passing_only([]), header(V6("2001:db8::1"), V6("2001:db8::2")))


def test_many_networks_are_one_program() -> None:
    of_version_4 = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(300)]
    program = passing_only([*of_version_4, *(f"2001:db8:{n:x}::/48" for n in range(50))])

    assert len(program) < 4096  # BPF_MAXINSNS
    assert passes(program, header(V4("10.1.43.9"), V4("192.0.2.1")))
    assert passes(program, header(V6("2001:db8:31::9"), V6("2001:db8:ffff::1")))
    assert not passes(program, header(V4("10.2.0.9"), V4("192.0.2.1")))
    assert not passes(program, header(V6("2001:db8:32::9"), V6("2001:db8:ffff::1")))
