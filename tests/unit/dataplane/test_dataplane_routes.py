"""Wanted routes, their difference, and what ip prints."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from romana.dataplane.routes import Route, parse_routes, route_changes, wanted_routes
from romana.objects import AddressBlock, Node, Snapshot
from romana.policy.admission import Endpoint

VIA = ip_address("198.18.0.12")


def snapshot(*blocks):
    nodes = {
        "node1": ("198.18.0.11", "fd00:18::11"),
        "node2": ("203.0.113.9", "198.18.0.12", "fd00:18::12"),
        "far": ("203.0.113.1",),
        "new": (),
    }
    return Snapshot(
        nodes={
            ("", name): Node(name=name, addresses=tuple(map(ip_address, addresses)))
            for name, addresses in nodes.items()
        },
        blocks={
            (cidr, ""): AddressBlock(cidr=ip_network(cidr), node=node) for cidr, node in blocks
        },
    )


def test_wanted_routes():
    found = wanted_routes(
        snapshot(
            ("10.112.0.0/25", "node1"),
            ("10.112.1.0/25", "node2"),
            ("fd00:112:1::/64", "node2"),
            ("10.112.2.0/25", "far"),
            ("fd00:112:2::/64", "far"),
            ("10.112.3.0/25", "new"),
            ("10.112.4.0/25", "unheard-of"),
        ),
        "node1",
        [
            Endpoint(
                interface="rom1",
                addresses=(ip_address("10.112.0.5"), ip_address("fd00:112::5")),
                pod=("test", "pod"),
            )
        ],
        [ip_network("198.18.0.0/24"), ip_network("fd00:18::/64")],
    )
    node4, node6 = ip_address("198.18.0.11"), ip_address("fd00:18::11")
    assert found == {
        Route(destination=ip_network("10.112.0.0/25"), blackhole=True),
        Route(destination=ip_network("10.112.1.0/25"), via=VIA),
        Route(destination=ip_network("fd00:112:1::/64"), via=ip_address("fd00:18::12")),
        Route(destination=ip_network("10.112.0.5"), device="rom1", source=node4),
        Route(destination=ip_network("fd00:112::5"), device="rom1", source=node6),
    }


def test_blocks_beyond_the_segments_go_by_the_gateway():
    objects = snapshot(
        ("10.112.0.0/25", "node1"),
        ("10.112.1.0/25", "node2"),
        ("10.112.2.0/25", "far"),
        ("fd00:112:2::/64", "far"),
        ("10.112.3.0/25", "new"),
        ("10.112.4.0/25", "unheard-of"),
    )
    gateway = ip_address("198.18.0.1")
    found = wanted_routes(objects, "node1", [], [ip_network("198.18.0.0/24")], (), [gateway])
    assert found == {
        Route(destination=ip_network("10.112.0.0/25"), blackhole=True),
        Route(destination=ip_network("10.112.1.0/25"), via=VIA),
        Route(destination=ip_network("10.112.2.0/25"), via=gateway),
    }


def test_what_ip_prints_is_read():
    four = parse_routes(
        '[{"dst":"default","gateway":"198.18.0.12","dev":"eth0","flags":[]},'
        '{"type":"blackhole","dst":"10.112.0.0/25","flags":[]},'
        '{"dst":"10.112.0.5","dev":"rom1","scope":"link","prefsrc":"198.18.0.1","flags":[]},'
        '{"dst":"10.113.0.0/25","gateway":"198.18.0.12","dev":"eth0","flags":["onlink"]}]',
        4,
    )
    assert four == {
        Route(destination=ip_network("0.0.0.0/0"), via=VIA),
        Route(destination=ip_network("10.112.0.0/25"), blackhole=True),
        Route(destination=ip_network("10.112.0.5"), device="rom1", source=ip_address("198.18.0.1")),
        Route(destination=ip_network("10.113.0.0/25"), via=VIA),
    }
    six = parse_routes(
        '[{"dst":"fd00:5::/64","gateway":"fd00::7","dev":"eth0","metric":1024,"pref":"medium"},'
        '{"type":"blackhole","dst":"fd00:3::/64","dev":"lo","metric":1024,"pref":"medium"}]',
        6,
    )
    assert six == {
        Route(destination=ip_network("fd00:5::/64"), via=ip_address("fd00::7")),
        Route(destination=ip_network("fd00:3::/64"), blackhole=True),
    }
    assert parse_routes("", 4) == frozenset()


NETWORKS = [ip_network(f"10.0.{number}.0/24") for number in range(5)]
ROUTES = st.one_of(
    st.builds(Route, destination=st.sampled_from(NETWORKS), blackhole=st.just(True)),
    st.builds(
        Route,
        destination=st.sampled_from(NETWORKS),
        via=st.sampled_from([VIA, ip_address("198.18.0.13")]),
    ),
    st.builds(Route, destination=st.sampled_from(NETWORKS), device=st.sampled_from(["rom1"])),
)
TABLES = st.lists(ROUTES, unique_by=lambda each: each.destination).map(frozenset)


@settings(deadline=None)
@given(TABLES, TABLES)
def test_changes_lead_from_one_table_to_another(old, new):
    table = {each.destination: " ".join(each.words()) for each in old}
    for command in route_changes(old, new):
        _, verb, words = command.split(" ", 2)
        destination = ip_network(words.split()[1 if words.startswith("blackhole") else 0])
        assert (destination in table) == (verb in ("delete", "replace"))
        if verb == "delete":
            assert table.pop(destination) == words
        else:
            table[destination] = words
        assert "proto 82" in words
    assert table == {each.destination: " ".join(each.words()) for each in new}
    assert len(route_changes(old, new)) == len(
        {each.destination for each in old.symmetric_difference(new)}
    )
