"""Servers that are there already: segments, gateways, bastions, passwords."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer.cluster import Cluster
from installer.commands.passwords import provide, read
from installer.errors import InstallerError, InventoryError
from installer.events import Event, Notice
from installer.inventory import Request, load
from installer.platforms.static import Static, router_routes
from romana.ipam.layout import Layout

ROOT = Path(__file__).parents[4]
RACKS = """\
cluster: {name: racks}
network: {pods: 10.112.0.0/12, services: 10.96.0.0/16}
static:
  routing: static
  segments:
    rack-1: {gateway: 192.0.2.1}
    rack-2: {gateway: 198.51.100.1}
  bastions:
    jump: {address: jump.example.com, user: op, port: 2022}
hosts:
  alpha: {address: 192.0.2.10, segment: rack-1}
  beta: {address: 192.0.2.11, segment: rack-1, ssh_address: beta.example.com}
  gamma: {address: 198.51.100.10, segment: rack-2, bastion: jump}
groups: {controller: [alpha], nodes: [alpha, beta, gamma]}
"""


def cluster(tmp_path: Path, text: str = RACKS, *settings: str) -> Cluster:
    file = tmp_path / "hosts.yml"
    file.write_text(text)
    return load(file, Request(platform="static", clusters=tmp_path, settings=settings)).cluster


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = RACKS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(InventoryError) as caught:
        cluster(tmp_path, text)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_hosts_know_the_gateway_of_their_segment(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    assert [(host.name, str(host.gateway), host.zone) for host in found.hosts] == [
        ("alpha", "192.0.2.1", "rack-1"),
        ("beta", "192.0.2.1", "rack-1"),
        ("gamma", "198.51.100.1", "rack-2"),
    ]
    assert [host.login for host in found.hosts] == [
        "192.0.2.10",
        "beta.example.com",
        "198.51.100.10",
    ]
    assert found.hosts[2].ssh.bastion == found.bastions[0].name == "jump"
    assert (found.bastions[0].login, found.bastions[0].ssh.port) == ("jump.example.com", 2022)


def test_the_router_needs_one_route_for_each_rack_and_is_told(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    events: list[Event] = []
    assert Static().provision(found, events.append) == found
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "the router between the segments needs a route: 10.112.0.0/13 via 192.0.2.10 or 192.0.2.11 "
        "(segment rack-1)",
        "the router between the segments needs a route: 10.120.0.0/13 via 198.51.100.10 "
        "(segment rack-2)",
    ]


def test_a_segment_that_is_planned_changes_no_route_when_its_hosts_come(tmp_path: Path) -> None:
    planned = RACKS.replace("  bastions:", "    rack-3: {gateway: 203.0.113.1}\n  bastions:")
    before = router_routes(cluster(tmp_path, planned))
    host = "  delta: {address: 203.0.113.10, segment: rack-3}\ngroups:"
    text = planned.replace("groups:", host).replace("gamma]", "gamma, delta]")
    after = router_routes(cluster(tmp_path, text))
    assert [str(route.share) for route in before] == ["10.112.0.0/14", "10.116.0.0/14"]
    assert after[:2] == before
    assert str(after[2].share) == "10.120.0.0/14"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_those_of_the_agents_layout(tmp_path: Path, count: int) -> None:
    found = cluster(tmp_path)
    zones = tuple(f"zone-{number}" for number in range(count))
    made = replace(
        found, zone_order=(), hosts=tuple(replace(found.hosts[0], zone=zone) for zone in zones)
    )
    layout = Layout(cidrs=(found.network.pods,), zones=zones)
    assert [(made.share(zone),) for zone in zones] == [layout.shares(zone) for zone in zones]


def test_a_fabric_needs_no_gateway_and_a_host_as_gateway_no_router(tmp_path: Path) -> None:
    start, end = RACKS.index("static\n  segments"), RACKS.index("  bastions:")
    text = RACKS[:start] + "fabric\n" + RACKS[end:]
    found = cluster(tmp_path, text)
    assert {host.gateway for host in found.hosts} == {None}
    assert router_routes(found) == ()
    hosts = cluster(
        tmp_path,
        RACKS.replace("192.0.2.1}", "192.0.2.10}").replace("198.51.100.1}", "198.51.100.10}"),
    )
    assert {str(host.gateway) for host in hosts.hosts} == {"192.0.2.10", "198.51.100.10"}
    assert router_routes(hosts) == ()


def test_one_segment_needs_nothing(tmp_path: Path) -> None:
    text = RACKS[: RACKS.index("static:")] + RACKS[RACKS.index("hosts:") :]
    text = text.replace("rack-2, bastion: jump", "rack-1")
    found = cluster(tmp_path, text)
    assert {(host.gateway, host.zone) for host in found.hosts} == {(None, "rack-1")}
    assert found.network.hosts.supernet_of(IPv4Network("198.51.100.10/32"))
    assert router_routes(found) == ()


UNSOUND = {
    "segments without routing": (
        (("  routing: static\n", ""),),
        "hosts.yml:3: static: segments have gateways, and routing is not static "
        "(write routing: static)",
    ),
    "routing that is none": (
        (("routing: static", "routing: sttic"),),
        "hosts.yml:4: static.routing: should be one of static, fabric, is 'sttic' "
        "(did you mean static?)",
    ),
    "segment that is not declared": (
        (("rack-2: {gateway", "rack-3: {gateway"),),
        "hosts.yml:10: hosts: gamma is in segment rack-2, which static.segments does not name "
        "(segments: {rack-2: {gateway: ADDRESS}})",
    ),
    "segment without gateway": (
        (("rack-2: {gateway: 198.51.100.1}", "rack-2: {}"),),
        "hosts.yml:3: static: segment rack-2 has no gateway, and routing is static "
        "(segments: {rack-2: {gateway: ADDRESS}})",
    ),
    "zone over two segments": (
        (("segment: rack-1}", "segment: rack-1, zone: a}"), ("bastion: jump}", "zone: a}")),
        "hosts.yml:10: hosts: zone a spans segments rack-1 and rack-2, and a router routes each "
        "zone's pods to one (give each segment zones of its own, or leave zone out)",
    ),
    "gateway that is no address": (
        (("gateway: 192.0.2.1}", "gateway: r1}"),),
        "hosts.yml:6: static.segments.rack-1.gateway: should be an IPv4 address, is 'r1'",
    ),
    "key of a bastion": (
        (("port: 2022", "prt: 2022"),),
        "hosts.yml:9: static.bastions.jump.prt: unknown key (did you mean port?)",
    ),
    "bastion without address": (
        (("address: jump.example.com, ", ""),),
        "hosts.yml:9: static.bastions.jump: address is missing",
    ),
    "bastion that is nobody": (
        (("bastion: jump}", "bastion: jmp}"),),
        "hosts.yml:13: hosts.gamma.bastion: jmp is not another host of the inventory, nor one of "
        "static.bastions (did you mean jump?)",
    ),
    "bastion behind a bastion": (
        (
            ("bastion: jump}", "bastion: beta}"),
            ("beta.example.com}", "beta.example.com, bastion: jump}"),
        ),
        "hosts.yml:13: hosts.gamma.bastion: beta has a bastion itself "
        "(name one that is reached directly)",
    ),
    "address of a pod": (
        (("198.51.100.10,", "10.113.0.1,"),),
        "hosts.yml:13: hosts.gamma.address: 10.113.0.1 is in network.pods 10.112.0.0/12 "
        "(choose another range for pods)",
    ),
    "file of a password": (
        (("bastion: jump}", "sudo_password_file: nowhere}"),),
        "hosts.yml:13: hosts.gamma.sudo_password_file: no such file: nowhere",
    ),
}


@pytest.mark.parametrize(("changes", "problem"), UNSOUND.values(), ids=UNSOUND)
def test_what_is_unsound(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], problem: str
) -> None:
    assert problem in problems(tmp_path, *changes)


def test_several_segments_need_routing(tmp_path: Path) -> None:
    start, end = RACKS.index("static:"), RACKS.index("hosts:")
    with pytest.raises(InventoryError) as caught:
        cluster(tmp_path, (RACKS[:start] + RACKS[end:]).replace(", bastion: jump", ""))
    assert "are in 2 segments (rack-1, rack-2), and static.routing does not say" in str(
        caught.value.problems[0]
    )


def test_a_bastion_for_all_is_itself_reached_directly(tmp_path: Path) -> None:
    found = cluster(tmp_path, RACKS + "vars: {bastion: alpha}\n")
    assert [host.ssh.bastion for host in found.hosts] == ["", "alpha", "jump"]


def test_the_inventory_for_bare_metal_is_sound_as_it_is(tmp_path: Path) -> None:
    request = Request(platform="static", clusters=tmp_path)
    found = load(ROOT / "inventories/baremetal.yml", request).cluster
    documentation = [
        IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    ]
    addresses = [host.address for host in found.hosts]
    addresses += [IPv4Address(found.bastions[0].login)]
    assert all(any(address in network for network in documentation) for address in addresses)
    assert {host.ssh.bastion for host in found.hosts} == {"jump"}
    assert len(router_routes(found)) == 2


def test_passwords_of_the_command_line_win_over_the_inventorys(tmp_path: Path) -> None:
    (own := tmp_path / "own").write_text("of the inventory\n")
    (given := tmp_path / "given").write_text("of the command line\nsecond line\n")
    for file in (own, given):
        file.chmod(0o600)
    found = cluster(
        tmp_path, RACKS + f"vars: {{user: op, sudo_password_file: {own}}}\n", "hosts.beta.user=root"
    )

    def words(made: Cluster) -> list[str | None]:
        return [host.ssh.sudo_password and host.ssh.sudo_password() for host in made.hosts]

    assert words(provide(found, None, "")) == ["of the inventory", None, "of the inventory"]
    assert words(provide(found, given, "")) == ["of the command line", None, "of the command line"]
    assert words(provide(found, given, "typed")) == ["typed", None, "typed"]
    assert "typed" not in repr(provide(found, given, "typed"))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("secret\n", 0o640, "others may read"), ("\n", 0o600, "is empty"), (None, 0, "No such file")],
)
def test_a_file_of_a_password_that_will_not_do(
    tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(InstallerError, match=said) as caught:
        read(file)
    assert "secret" not in str(caught.value)
