"""Which denied packets become lines, and what a line says was suppressed."""

from ipaddress import ip_address

import pytest

from romana.agent.denial_choice import Choice, keep, read
from romana.agent.denials import BURST, RATE, WINDOW_S, Denials, owners_of
from romana.dataplane.denials import PREFIX, DenialLog
from romana.dataplane.nflog import LoggedPacket
from romana.policy.admission import Direction, Endpoint

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
DB = Endpoint(interface="rom1", addresses=(ip_address("10.112.0.3"),), pod=("shop", "db"))
TOOL = Endpoint(interface="rom2", addresses=(ip_address("10.112.0.9"),), pod=("ops", "tool"))
OWNERS = owners_of((DB, TOOL))


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def denials(clock):
    return Denials(clock, lambda: clock.time + 1e9)


def packet(port=80, *, direction=INGRESS, source="10.112.0.9", to="10.112.0.3", source_port=40000):
    return LoggedPacket(
        prefix=PREFIX[direction],
        source=ip_address(source),
        destination=ip_address(to),
        protocol=6,
        source_port=source_port,
        port=port,
    )


def take(denials, *packets, log=DenialLog()):  # noqa: B008 - a value
    for each in packets:
        denials.take(each, OWNERS, log)


def told(denials, ingress=0, egress=0):
    """The lines, as pod, direction, port and what was suppressed."""
    counts = {INGRESS: {"rom1": ingress}, EGRESS: {"rom2": egress}}
    return [
        (each.endpoint.pod[1], each.direction.value, each.packet.port, each.suppressed)
        for each in denials.lines(counts)
    ]


def test_a_packet_is_a_line_of_the_pod_that_it_was_denied_for(denials, clock):
    take(denials, packet(), packet(direction=EGRESS))
    assert denials.gathered
    first, second = denials.lines(None)
    assert (first.endpoint, first.peer, first.at) == (DB, TOOL.addresses[0], clock.time + 1e9)
    assert (second.endpoint, second.peer) == (TOOL, DB.addresses[0])
    assert not denials.gathered
    assert denials.lines(None) == ()


def test_what_is_no_pods_or_not_wanted_is_no_line(denials):
    take(
        denials,
        packet(to="10.112.0.77"),
        packet(direction=EGRESS, source="198.18.0.1"),
        LoggedPacket(
            prefix="other",
            source=ip_address("10.112.0.9"),
            destination=ip_address("10.112.0.3"),
            protocol=6,
        ),
    )
    take(denials, packet(), log=DenialLog(namespaces=frozenset(("ops",))))
    assert told(denials) == []
    take(denials, packet(), log=DenialLog(namespaces=frozenset(("shop",))))
    assert told(denials, 1) == [("db", "ingress", 80, 0)]


def test_repetitions_within_the_window_are_one_line(denials, clock):
    denials.begin({INGRESS: {"rom1": 0}})
    take(denials, packet(), packet(source_port=40001), packet(81))
    assert told(denials, 3) == [("db", "ingress", 80, 1), ("db", "ingress", 81, 0)]
    clock.time += WINDOW_S - 1
    take(denials, packet())
    assert told(denials, 4) == []
    clock.time += 1.5
    take(denials, packet())
    assert told(denials, 5) == [("db", "ingress", 80, 1)]


def test_what_the_kernel_did_not_tell_of_counts_as_suppressed(denials, clock):
    denials.begin({INGRESS: {"rom1": 100}, EGRESS: {}})
    take(denials, packet(), packet(direction=EGRESS))
    assert told(denials, 150, 1) == [("db", "ingress", 80, 49), ("tool", "egress", 80, 0)]
    clock.time += WINDOW_S
    take(denials, packet())
    assert told(denials, 151, 1) == [("db", "ingress", 80, 0)]


def test_a_packet_that_is_counted_before_it_is_told_of_is_not_told_twice(denials, clock):
    denials.begin({INGRESS: {"rom1": 0}})
    take(denials, packet(80))
    assert told(denials, 3) == [("db", "ingress", 80, 2)]
    take(denials, packet(81))  # it was one of the three
    assert told(denials, 3) == [("db", "ingress", 81, 0)]
    clock.time += WINDOW_S
    take(denials, packet(82))
    assert told(denials, 6) == [("db", "ingress", 82, 1)], "6 packets: 3 lines, 2 and 1"


def test_counts_that_begin_anew_or_are_not_known_suppress_nothing(denials, clock):
    take(denials, packet(80))
    assert told(denials, 500) == [("db", "ingress", 80, 0)], "before the start nothing is known"
    take(denials, packet(81))
    assert [each.suppressed for each in denials.lines(None)] == [0]
    take(denials, packet(82), packet(83))
    assert told(denials, 4) == [("db", "ingress", 82, 1), ("db", "ingress", 83, 0)]
    assert clock.time


def test_a_flood_is_a_limited_number_of_lines(denials, clock):
    take(denials, *(packet(port) for port in range(1000)))
    assert len(told(denials, 1000)) == BURST
    clock.time += 2
    take(denials, *(packet(port) for port in range(1000, 2000)))
    lines = told(denials, 2000)
    assert len(lines) == 2 * RATE
    assert sum(each[3] for each in lines) == 2000 - 1000 - 2 * RATE
    clock.time += 100 * WINDOW_S
    take(denials, *(packet(port) for port in range(1000)))
    assert len(denials._until) <= WINDOW_S * RATE + 2 * BURST


def test_a_choice_is_kept_until_there_is_none(tmp_path):
    path = tmp_path / "log-denied.json"
    assert read(path) is None
    for choice in (Choice(on=True, namespaces=("shop",)), Choice(on=False)):
        keep(path, choice)
        assert read(path) == choice
    keep(path, None)
    keep(path, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"on": 1}', '{"on": true, "more": 1}'])
def test_a_choice_that_cannot_be_read_is_none(tmp_path, text, caplog):
    path = tmp_path / "log-denied.json"
    path.write_text(text)
    assert read(path) is None
    assert "the configuration counts" in caplog.text
