"""Inventories: what they become, and every way in which one is unsound."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.errors import InventoryError
from installer.inventory import Request, load

ROOT = Path(__file__).parents[4]
SOUND = """\
cluster:
  name: demo
network:
  pods: 10.112.0.0/12
  services: 10.96.0.0/16
  hosts: 198.18.0.0/24
hosts:
  alpha: {address: 198.18.0.10}
  beta: {address: 198.18.0.11}
groups:
  controller: [alpha]
  nodes: [alpha, beta]
"""


def read(tmp_path: Path, text: str, *settings: str, **request: object) -> object:
    file = tmp_path / "demo.yml"
    file.write_text(text)
    wish = Request(
        platform=request.pop("platform", "static"),  # type: ignore[arg-type]
        clusters=tmp_path / "clusters",
        settings=settings,
        **request,  # type: ignore[arg-type]
    )
    return load(file, wish)


def problems(tmp_path: Path, text: str, *settings: str, **request: object) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, text, *settings, **request)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_the_sandboxs_inventory_works_as_it_is(tmp_path: Path) -> None:
    request = Request(platform="sandbox", clusters=tmp_path)
    cluster = load(ROOT / "inventories/sandbox.yml", request).cluster
    assert [(host.name, str(host.address), host.groups) for host in cluster.hosts] == [
        ("controller", "198.18.0.10", ("controller",)),
        ("node1", "198.18.0.11", ("nodes",)),
        ("node2", "198.18.0.12", ("nodes",)),
    ]
    assert cluster.network.pods == IPv4Network("10.112.0.0/12")
    assert cluster.state == tmp_path / "sandbox"
    assert cluster.kubernetes == "auto"


def test_the_command_line_wins(tmp_path: Path) -> None:
    request = Request(
        platform="sandbox",
        clusters=tmp_path,
        name="other",
        nodes=1,
        settings=("cluster.kubernetes=v1.20.2", "network.mtu=1400", "vars.labels={disk: ssd}"),
    )
    cluster = load(ROOT / "inventories/sandbox.yml", request).cluster
    assert (cluster.name, len(cluster.nodes)) == ("other", 1)
    assert (cluster.kubernetes, cluster.network.mtu) == ("v1.20.2", 1400)
    assert cluster.hosts[1].labels == (("disk", "ssd"),)


def test_the_most_specific_variable_wins_and_labels_are_joined(tmp_path: Path) -> None:
    text = SOUND.replace("alpha: {", "alpha: {memory_mb: 1000, labels: {own: a}, ") + (
        "vars: {memory_mb: 3000, zone: z1, labels: {all: v, own: v}}\n"
        "group_vars:\n  nodes: {zone: z2, port: 2222, taints: ['k=v:NoSchedule']}\n"
    )
    alpha, beta = read(tmp_path, text).cluster.hosts  # type: ignore[attr-defined]
    assert (alpha.memory_mb, alpha.zone, alpha.ssh.port) == (1000, "z2", 2222)
    assert (beta.memory_mb, beta.taints) == (3000, ("k=v:NoSchedule",))
    assert alpha.labels == (("all", "v"), ("own", "a"))


def test_an_even_number_of_controllers_is_unwise(tmp_path: Path) -> None:
    found = read(tmp_path, SOUND.replace("controller: [alpha]", "controller: [alpha, beta]"))
    assert "2 controllers make 2 etcd members" in found.warnings[0]  # type: ignore[attr-defined]


UNSOUND = {
    "unknown key": (
        ("cluster:", "clusters: {}\ncluster:"),
        "demo.yml:1: clusters: unknown key (did you mean cluster?)",
    ),
    "mistyped key": (
        ("name: demo", "name: demo\n  kubernets: v1.20.2"),
        "demo.yml:3: cluster.kubernets: unknown key (did you mean kubernetes?)",
    ),
    "mistyped key of a host": (
        ("{address: 198.18.0.11}", "{adress: 198.18.0.11}"),
        "demo.yml:9: hosts.beta.adress: unknown key (did you mean address?)",
    ),
    "not yaml": (("name: demo", "name: [demo"), "demo.yml:3: not YAML: "),
    "key given twice": (
        ("beta:", "alpha: {address: 198.18.0.12}\n  beta:"),
        "demo.yml:9: hosts.alpha: given twice, first at demo.yml:8",
    ),
    "no name": (
        ("name: demo", ""),
        "demo.yml:1: cluster.name: is missing (give the cluster a name)",
    ),
    "bad name": (
        ("name: demo", "name: Demo_1"),
        "demo.yml:2: cluster.name: should be a name, is 'Demo_1' (at most 20 of a-z, 0-9 and -, "
        "no - at either end)",
    ),
    "version as a number": (
        ("name: demo", "name: demo\n  kubernetes: 1.20"),
        "demo.yml:3: cluster.kubernetes: should be text, is 1.2 (write it in quotes)",
    ),
    "version too old": (
        ("name: demo", "name: demo\n  kubernetes: v1.19.0"),
        "demo.yml:3: cluster.kubernetes: v1.19.0 is too old (v1.20.0 is the oldest that can be "
        "installed)",
    ),
    "wrong type": (
        ("name: demo", "name: demo\n  smoke: maybe"),
        "demo.yml:3: cluster.smoke: should be true or false, is 'maybe'",
    ),
    "list for mapping": (
        ("cluster:\n  name: demo", "cluster: [demo]"),
        "demo.yml:1: cluster: should be a mapping, is a list",
    ),
    "missing network": (
        ("  pods: 10.112.0.0/12\n", ""),
        "demo.yml:3: network.pods: is missing (give a range: 10.96.0.0/16)",
    ),
    "host bits": (
        ("10.112.0.0/12", "10.112.0.5/12"),
        "demo.yml:4: network.pods: 10.112.0.5/12 is an address within a network "
        "(write 10.112.0.0/12)",
    ),
    "no network": (
        ("10.112.0.0/12", "ten/12"),
        "demo.yml:4: network.pods: should be an IPv4 network, is 'ten/12' "
        "(write it as 10.112.0.0/12)",
    ),
    "overlap": (
        ("10.96.0.0/16", "10.113.0.0/16"),
        "demo.yml:5: network.services: 10.113.0.0/16 overlaps network.pods 10.112.0.0/12 "
        "(choose ranges that have no address in common)",
    ),
    "services too small": (
        ("10.96.0.0/16", "10.96.0.0/29"),
        "demo.yml:5: network.services: 10.96.0.0/29 has no tenth address, which cluster DNS needs "
        "(use a /28 or larger)",
    ),
    "pods too small": (
        ("10.112.0.0/12", "10.112.0.0/25"),
        "demo.yml:4: network.pods: 10.112.0.0/25 holds 1 blocks of /25, too few for 2 hosts "
        "(use a /24 or larger, or a block_size above 25)",
    ),
    "blocks larger than the pods' network": (
        ("10.112.0.0/12", "10.112.0.0/27"),
        "demo.yml:4: network.pods: 10.112.0.0/27 holds 0 blocks of /25, too few for 2 hosts "
        "(use a /24 or larger, or a block_size above 25)",
    ),
    "address twice": (
        ("198.18.0.11", "198.18.0.10"),
        "demo.yml:9: hosts.beta.address: 198.18.0.10 is also the address of alpha (demo.yml:8) "
        "(give each host its own)",
    ),
    "address elsewhere": (
        ("198.18.0.11", "198.19.0.11"),
        "demo.yml:9: hosts.beta.address: 198.19.0.11 is not in network.hosts 198.18.0.0/24 "
        "(change one of the two)",
    ),
    "broadcast address": (
        ("198.18.0.11", "198.18.0.255"),
        "demo.yml:9: hosts.beta.address: 198.18.0.255 is not for a host of 198.18.0.0/24",
    ),
    "no address": (
        ("{address: 198.18.0.11}", "{port: 22}"),
        "demo.yml:9: hosts.beta: address is missing",
    ),
    "address that is none": (
        ("198.18.0.11", "198.18.0.300"),
        "demo.yml:9: hosts.beta.address: should be an IPv4 address, is '198.18.0.300'",
    ),
    "port out of range": (
        ("{address: 198.18.0.11}", "{address: 198.18.0.11, port: 70000}"),
        "demo.yml:9: hosts.beta.port: should be a number from 1 to 65535, is 70000",
    ),
    "no such key file": (
        ("{address: 198.18.0.11}", "{address: 198.18.0.11, key: nowhere}"),
        "demo.yml:9: hosts.beta.key: no such file: nowhere",
    ),
    "label without quotes": (
        ("{address: 198.18.0.11}", "{address: 198.18.0.11, labels: {gpu: true}}"),
        "demo.yml:9: hosts.beta.labels: gpu should be a label's value, is true "
        "(write it in quotes)",
    ),
    "taint": (
        ("{address: 198.18.0.11}", "{address: 198.18.0.11, taints: [never]}"),
        "demo.yml:9: hosts.beta.taints: 'never' is not a taint (write it as key=value:NoSchedule)",
    ),
    "bastion that is nobody": (
        ("{address: 198.18.0.11}", "{address: 198.18.0.11, bastion: beta}"),
        "demo.yml:9: hosts.beta.bastion: beta is not another host of the inventory, nor one of "
        "static.bastions",
    ),
    "host name": (
        ("beta: ", "be_ta: "),
        "demo.yml:9: hosts.be_ta: should be a name, is 'be_ta' (at most 63 of a-z, 0-9 and -, "
        "no - at either end)",
    ),
    "unknown host in a group": (
        ("nodes: [alpha, beta]", "nodes: [alpha, betta]"),
        "demo.yml:12: groups.nodes[1]: there is no host betta (did you mean beta?)",
    ),
    "host in no group": (
        ("nodes: [alpha, beta]", "nodes: [alpha]"),
        "demo.yml:9: hosts.beta: is in no group (add it to controller or nodes)",
    ),
    "host twice in a group": (
        ("nodes: [alpha, beta]", "nodes: [beta, beta]"),
        "demo.yml:12: groups.nodes[1]: beta is in nodes twice",
    ),
    "no controller": (
        ("controller: [alpha]", "controller: []"),
        "demo.yml:10: groups.controller: no host (name at least one)",
    ),
    "group that is no list": (
        ("controller: [alpha]", "controller: alpha"),
        "demo.yml:11: groups.controller: should be a list, is 'alpha'",
    ),
    "nodes counted and listed": (
        ("cluster:", "nodes: 2\ncluster:"),
        "demo.yml:1: nodes: cannot be counted where hosts are listed (drop one)",
    ),
    "unknown variable": (
        ("cluster:", "vars: {memory: 1}\ncluster:"),
        "demo.yml:1: vars.memory: unknown key (did you mean memory_mb?)",
    ),
    "unknown group": (
        ("cluster:", "group_vars: {node: {}}\ncluster:"),
        "demo.yml:1: group_vars.node: unknown key (did you mean nodes?)",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNSOUND.values(), ids=UNSOUND.keys())
def test_a_problem_is_told_with_its_line_its_key_and_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert change[0] in SOUND
    found = problems(tmp_path, SOUND.replace(*change))
    assert any(problem.startswith(message) for problem in found), found


def test_all_problems_are_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = SOUND.replace("10.96.0.0/16", "10.112.0.0/16").replace("beta]", "gamma]")
    found = problems(tmp_path, text.replace("name: demo", "name: demo\n  smoke: 3"))
    lines = [int(problem.split(":")[1]) for problem in found]
    assert len(found) == 4
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("network.mtu=1", "--set network.mtu: network.mtu: should be a number from 576 to 65535"),
        ("netwrk.mtu=1400", "--set netwrk.mtu: netwrk: unknown key (did you mean network?)"),
        (
            "network.backend=iptable",
            "--set network.backend: network.backend: should be one of auto, nftables, iptables, is"
            " 'iptable' (did you mean iptables?)",
        ),
        ("network.mtu", "--set network.mtu: should be KEY=VALUE"),
        (
            "backup.every=6",
            "--set backup.every: backup.every: should be a span of time, is 6"
            " (write it as 30m, 6h or 7d, or never)",
        ),
        ("backup.keep=never", "--set backup.keep: backup.keep: should be a span of time, is"),
        ("backup.often=1h", "--set backup.often: backup.often: unknown key"),
        ("hosts.alpha.port=[", "--set hosts.alpha.port: not YAML: "),
        ("network.mtu=", "--set network.mtu: network.mtu: should be a number from 576 to 65535, "),
    ],
)
def test_settings_are_judged_like_the_file(tmp_path: Path, setting: str, message: str) -> None:
    assert any(found.startswith(message) for found in problems(tmp_path, SOUND, setting))


@pytest.mark.parametrize(
    ("text", "request_", "message"),
    [
        ("", {}, "cluster.name: is missing"),
        (SOUND.split("hosts:\n  alpha")[0], {}, "hosts: is missing"),
        (SOUND.split("hosts:\n  alpha")[0], {"platform": "sandbox", "nodes": -1}, "nodes: should"),
        (
            SOUND.split("hosts:\n  alpha")[0].replace("198.18.0.0/24", "198.18.0.0/28"),
            {"platform": "sandbox", "nodes": 9},
            "198.18.0.0/28 is too small for 9 nodes",
        ),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, text: str, request_: dict[str, object], message: str
) -> None:
    assert any(message in found for found in problems(tmp_path, text, **request_))


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    request = Request(platform="sandbox", clusters=tmp_path)
    for path, why in ((tmp_path / "nowhere.yml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InventoryError) as caught:
            load(path, request)
        assert why in str(caught.value.problems[0])
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InventoryError, match="one problem"):
        load(binary, request)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**6), st.text("a1./-", max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(("name", "pods", "hosts", "alpha", "x")), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ("cluster", "network", "hosts", "groups", "nodes", "vars", "group_vars", "other")
        ),
        _VALUES,
    )
)
def test_whatever_the_file_says_the_answer_is_problems_and_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
) -> None:
    import yaml

    directory = tmp_path_factory.mktemp("inventory")
    for platform in ("sandbox", "static"):
        assert problems(directory, yaml.safe_dump(document), platform=platform)


def test_addresses_of_counted_hosts_follow_the_network(tmp_path: Path) -> None:
    text = SOUND.split("hosts:\n  alpha")[0].replace("198.18.0.0/24", "198.18.4.0/22")
    cluster = read(tmp_path, text, platform="sandbox", nodes=0).cluster  # type: ignore[attr-defined]
    assert cluster.hosts[0].address == IPv4Address("198.18.4.10")
    assert cluster.hosts[0].groups == ("controller", "nodes")


def test_defaults_give_way_to_the_file_and_to_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "some.yml"
    file.write_text("network: {pods: 10.112.0.0/12, services: 10.96.0.0/16, mtu: 1400}\nnodes: 1\n")
    defaults = ("cluster.name=vagrant", "network.hosts=10.9.0.0/24", "network.mtu=1500", "nodes=4")
    request = Request(
        platform="vagrant",
        clusters=tmp_path,
        defaults=defaults,
        settings=("network.hosts=10.8.0.0/24",),
    )
    cluster = load(file, request).cluster
    assert (cluster.name, len(cluster.hosts)) == ("vagrant", 2)
    assert str(cluster.network.hosts) == "10.8.0.0/24"
    assert cluster.network.mtu == 1400


def test_hosts_that_are_listed_are_not_counted_by_default(tmp_path: Path) -> None:
    file = tmp_path / "some.yml"
    file.write_text(
        "cluster: {name: vagrant}\n"
        "network: {pods: 10.112.0.0/12, services: 10.96.0.0/16, hosts: 10.9.0.0/24}\n"
        "hosts: {controller: {address: 10.9.0.10}}\ngroups: {controller: [controller]}\n"
    )
    request = Request(platform="vagrant", clusters=tmp_path, defaults=("nodes=4",))
    assert len(load(file, request).cluster.hosts) == 1


@pytest.mark.parametrize(
    ("settings", "every_s", "keep_s"),
    [
        ((), 21600, 604800),
        (("backup.every=30m", "backup.keep=2d"), 1800, 172800),
        (("backup.every=never",), 0, 604800),
    ],
)
def test_how_often_controllers_keep_snapshots(
    tmp_path: Path, settings: tuple[str, ...], every_s: int, keep_s: int
) -> None:
    file = tmp_path / "hosts.yml"
    file.write_text(SOUND)
    request = Request(platform="static", clusters=tmp_path, settings=settings)
    found = load(file, request).cluster.snapshots
    assert (found.every_s, found.keep_s) == (every_s, keep_s)
