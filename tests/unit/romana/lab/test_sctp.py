"""SCTP packets as bytes."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from romana.lab.sctp import ABORT, INIT, INIT_ACK, Packet, answer, crc32c, decode

PORTS = st.integers(1, 65535)
TAGS = st.integers(1, 2**32 - 1)
HEADER = bytes([0x45]) + bytes(19)


def test_checksum_of_a_known_text():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


@given(source=PORTS, target=PORTS, tag=TAGS, initiate=TAGS, kind=st.sampled_from([INIT, INIT_ACK]))
def test_decode_reads_what_encode_wrote(source, target, tag, initiate, kind):
    packet = Packet(source=source, target=target, tag=tag, kind=kind, initiate=initiate)
    assert decode(HEADER + packet.encode()) == packet


@given(st.binary(max_size=64))
def test_decode_takes_anything(data):
    decode(data)


def test_abort_has_no_tag_to_initiate():
    packet = Packet(source=1, target=2, tag=3, kind=ABORT)
    assert decode(HEADER + packet.encode()) == packet


@given(initiate=TAGS, port=PORTS)
def test_answer_carries_the_tag_that_was_asked_for(initiate, port):
    heard = Packet(source=40000, target=port, tag=0, kind=INIT, initiate=initiate)
    said = answer(heard, port)
    assert said is not None
    assert (said.source, said.target, said.tag, said.kind) == (port, 40000, initiate, INIT_ACK)
    assert said.initiate != 0
    assert answer(said, 40000) is None
    assert answer(heard, port % 65535 + 1) is None


def test_checksum_is_little_endian():
    data = Packet(source=1, target=2, tag=0, kind=INIT, initiate=5).encode()
    assert struct.unpack_from("<I", data, 8)[0] == crc32c(data[:8] + bytes(4) + data[12:])
