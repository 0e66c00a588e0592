"""Two hosts and two pods for each cell of the bench: made by the real agent and its CNI plugin, and
then with the data plane in question.

All testbeds are there at once, so that they can be measured in turns. As soon as a testbed's kernel
holds what it shall enforce, its agents are ended: what they wrote stays in force, and dozens of
them would be in each other's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from romana.bench.errors import BenchError
from romana.bench.planes import Loaded, Plane, load, load_for_client
from romana.bench.workload import ADDRESSES, CLIENT, LABELS, NAMESPACE, SERVER, policies
from romana.conformance.cases import PodState, Step
from romana.conformance.cluster import HOSTS6, Cluster
from romana.conformance.manifests import cluster_manifests, step_manifests
from romana.conformance.placement import Placement, place
from romana.lab.namespaces import Lab, Namespace

POD_NETWORK = "10.112.0.0/12"
NETWORK = IPv4Network("198.18.0.0/22")
FIRST_HOST = 11
MOST = (NETWORK.num_addresses - FIRST_HOST) // 2 - 1
TIME_WAIT_S = 5
"""For how long conntrack remembers connections that have ended: with its default of 120 s the table
would grow during the whole run."""
PROVEN = 1_000
"""Up to so many policies the agent proves that the kernel enforces them."""
_TIME_WAIT = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait")
_PODS = tuple(
    PodState(namespace=NAMESPACE, name=role, labels=LABELS[role], address=address)
    for role, address in ADDRESSES.items()
)
_OBJECTS = Step(policies=(), namespaces={NAMESPACE: {}}, pods=_PODS, ports=(), cells=0, blocked={})

Nodes = Mapping[str, tuple[IPv4Address, IPv6Address]]
"""Hosts with their addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testbed:
    """One data plane with one number of policies.

    Args:
        client: the namespace of the pod that asks.
        server: of the one that answers.
        loaded: the bench's own rules; None where they are the agent's.
    """

    plane: Plane
    policies: int
    client: Namespace
    server: Namespace
    loaded: Loaded | None

    @property
    def title(self) -> str:
        """As in messages."""
        return f"{self.plane.name} with {self.policies:,} policies"


class Builder:
    """Makes testbeds.

    Args:
        lab: where; its owner removes it.
        work: an empty directory.
    """

    def __init__(self, lab: Lab, work: Path) -> None:
        self._lab = lab
        self._work = work
        self._count = 0

    def build(self, plane: Plane, count: int) -> Testbed:
        """Make one.

        Raises:
            BenchError: an agent does not enforce what it should.
            ConformanceError: an agent does not start, or a pod cannot be attached.
            LabError: a host cannot be made, or the kernel refuses the rules.
        """
        number, self._count = self._count, self._count + 1
        nodes = self._nodes(number)
        placement = place(ADDRESSES.values(), tuple(nodes))
        cluster = Cluster(
            self._lab,
            placement,
            nodes,
            manifests=self._manifests(number, placement, nodes, count if plane.backend else 0),
            work=self._work / str(number),
            backend=plane.backend or "nftables",
            settings={"pods": {"cidrs": [POD_NETWORK]}},
        )
        try:
            cluster.start()
            pods = cluster.attach(_PODS)
            server = cluster.hosts[f"{SERVER[0]}{number}"]
            interface = cluster.ask(server.name, "endpoints")[0]["interface"]
            if plane.backend:
                _check(cluster, server.name, count)
        finally:
            cluster.stop()
        for host in cluster.hosts.values():
            host.namespace.inside(_forget_soon)
        loaded = None
        if not plane.backend:
            for host in cluster.hosts.values():
                host.namespace.run("nft", "delete", "table", "inet", "romana")
            client = cluster.hosts[f"{CLIENT[0]}{number}"]
            load_for_client(plane, client.namespace)
            loaded = load(plane, count, ADDRESSES[CLIENT], interface, server.namespace)
        return Testbed(
            plane=plane,
            policies=count,
            client=pods[f"{NAMESPACE}/{CLIENT}"],
            server=pods[f"{NAMESPACE}/{SERVER}"],
            loaded=loaded,
        )

    def _manifests(self, number: int, placement: Placement, nodes: Nodes, count: int) -> Path:
        """The directory that the agents follow, written."""
        work = self._work / str(number)
        directory = work / "manifests"
        directory.mkdir(parents=True)
        objects = {**cluster_manifests(placement, nodes), **step_manifests(_OBJECTS, placement)}
        for name, content in objects.items():
            (directory / name).write_bytes(content)
        (directory / "policies.json").write_bytes(policies(count))
        return directory

    def _nodes(self, number: int) -> Nodes:
        """Two hosts, with the addresses of their turn."""
        first = FIRST_HOST + 2 * number
        return {
            f"{role[0]}{number}": (NETWORK[first + side], HOSTS6[first + side])
            for side, role in enumerate((CLIENT, SERVER))
        }


def _check(cluster: Cluster, host: str, count: int) -> None:
    """Make sure that an agent enforces so many policies.

    Raises:
        BenchError: it does not.
    """
    status = cluster.ask(host, "status")
    there, grants = status["objects"]["NetworkPolicy"], status["grants"]
    if (there, grants) != (count, count) or not status["enforced"]:
        problem = "; ".join(status["problems"]) or status["failure"]
        raise BenchError(
            f"{host}: of {count} policies the agent enforces {grants} of {there}: {problem}"
        )
    if count <= PROVEN:
        proof = cluster.ask(host, "verify")
        if not proof["equal"]:
            raise BenchError(f"{host}: {proof['text']}")


def _forget_soon() -> None:
    _TIME_WAIT.write_text(str(TIME_WAIT_S))
