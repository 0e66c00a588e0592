"""SYNs that are written by hand."""

import struct
from ipaddress import ip_address
from random import Random
from socket import AF_INET, AF_INET6

import pytest

from romana.lab.raw import datagram, number_of, opening, pseudo_sum


def complement_sum(data):
    """RFC 1071, as it is written there."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("seed", range(50))
def test_the_checksum_is_right_and_the_number_comes_back(seed):
    random = Random(seed)
    source, destination = (ip_address(random.randbytes(4)) for _ in range(2))
    number = random.getrandbits(32)
    ports = random.randrange(1, 65536), random.randrange(1, 65536)
    segment = opening(pseudo_sum(source, destination), *ports, number)
    pseudo = source.packed + destination.packed + struct.pack("!BBH", 0, 6, len(segment))
    assert complement_sum(pseudo + segment) == 0xFFFF
    assert struct.unpack_from("!HH", segment) == ports
    assert number_of(bytes(20) + segment, AF_INET) == number
    assert number_of(segment, AF_INET6) == number


def test_a_datagram_says_its_length():
    assert struct.unpack("!HHHHI", datagram(1, 2, 3)) == (1, 2, 12, 0, 3)
