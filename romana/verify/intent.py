"""What should become of packets, as sets: from the compiled form alone, by the words of
docs/policy.md, and without a thought of how a kernel is told."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from romana.objects import Network
from romana.policy.admission import Admission, Endpoint, EndpointPrograms, Program
from romana.policy.intervals import Intervals, contains, subtract, union
from romana.policy.space import (
    ANYTHING,
    EMPTY,
    LAST_ADDRESS,
    Region,
    at,
    everything,
    join,
    meet,
    minus,
    region_of,
    traffic,
)
from romana.verify.forms import Field
from romana.verify.packets import PacketClass

INVALID, ESTABLISHED, RELATED, NEW, UNTRACKED = 1, 2, 4, 8, 64
"""Conntrack's states."""
STATES = (INVALID, ESTABLISHED, RELATED, NEW, UNTRACKED)
FIN, SYN, RST, ACK = 1, 2, 4, 16
TCP, ICMPV6 = 6, 58
TCP_TRAFFIC = traffic((TCP, TCP))
NEIGHBOURS = traffic((ICMPV6, ICMPV6), (135, 136))
"""Neighbour solicitation and advertisement."""
NO_ADDRESS = 0
LINK_LOCAL = ip_network("fe80::/10")


def opens(flags: int) -> bool:
    """Whether TCP flags are those of a packet that opens a connection."""
    return flags & (FIN | SYN | RST | ACK) == SYN


@dataclass(frozen=True, slots=True, kw_only=True)
class Masquerading:
    """Which packets take the node's address: from the pods, to what is neither pod nor direct.

    Args:
        pods: where pods have their addresses from.
        direct: where they go with their own address besides.
        enabled: whether any do.
    """

    pods: tuple[Network, ...] = ()
    direct: tuple[Network, ...] = ()
    enabled: bool = True


class Intent:
    """What a host's compiled form asks for.

    Args:
        admission: the compiled form.
        prefix: what the names of pods' interfaces begin with.
        masquerading: of packets that leave.
    """

    def __init__(
        self, admission: Admission, prefix: str, masquerading: Masquerading | None = None
    ) -> None:
        self.admission = admission
        self.prefix = prefix
        self._masquerading = masquerading
        self._regions: dict[tuple[str, int], Region] = {}
        given = masquerading or Masquerading()
        self._pods = {family: _spans(given.pods, family) for family in LAST_ADDRESS}
        self._beyond = {
            family: tuple(
                (low, high, ANYTHING)
                for low, high in subtract(
                    ((0, last),), _spans((*given.pods, *given.direct), family)
                )
            )
            for family, last in LAST_ADDRESS.items()
        }

    def accepted(self, case: PacketClass) -> Region:
        """The packets of a class that are to pass."""
        whole = everything(case.family)
        from_pod = case.from_interface.startswith(self.prefix)
        to_pod = case.path == "forward" and case.to_interface.startswith(self.prefix)
        if case.path == "output" or not (from_pod or to_pod):
            return whole
        if case.state in (ESTABLISHED, RELATED):
            return whole
        if case.path == "input":
            return self._to_node(case)
        result = whole
        if from_pod:
            result = self._from_pod(case)
        if to_pod:
            result = join(meet(result, self._to_pod(case)), self._itself(case, from_pod))
        return _unbroken(result, case)

    def masqueraded(self, case: PacketClass) -> Region | None:
        """Those of the packets of a class that are to take the node's address, if they pass; None
        where that is not looked at."""
        if self._masquerading is None or case.path != "forward" or case.own is not Field.SOURCE:
            return None
        inside = contains(self._pods[case.family], case.address)
        return self._beyond[case.family] if self._masquerading.enabled and inside else EMPTY

    def endpoint(self, interface: str, family: int, address: int) -> EndpointPrograms | None:
        """The endpoint that an interface and an address are of."""
        programs = self.admission.endpoints.get(interface)
        if programs is None:
            return None
        own = {(each.version, int(each)) for each in programs.endpoint.addresses}
        return programs if (family, address) in own else None

    def _to_node(self, case: PacketClass) -> Region:
        """From a pod to its node: judged as egress; neighbours are found, and what an interface
        sends by itself is dropped."""
        result = _unbroken(self._from_pod(case), case)
        if case.family == 4:
            return result
        address = ip_address(case.address.to_bytes(16, "big"))
        if case.address == NO_ADDRESS or address in LINK_LOCAL:
            result = EMPTY
        return join(result, everything(6, NEIGHBOURS))

    def _from_pod(self, case: PacketClass) -> Region:
        """What a pod may send: with its own address only."""
        if case.from_interface not in self.admission.endpoints:
            return EMPTY
        if case.own is not Field.SOURCE:
            raise ValueError("packets from a pod are looked at by their source")
        programs = self.endpoint(case.from_interface, case.family, case.address)
        if programs is None:
            return EMPTY
        itself: Region = ((case.address, case.address, ANYTHING),)
        return join(self._admitted(programs.egress, case.family), itself)

    def _to_pod(self, case: PacketClass) -> Region:
        """What a pod may get: at its own address only."""
        if case.own is Field.DESTINATION:
            programs = self.endpoint(case.to_interface, case.family, case.address)
            return EMPTY if programs is None else self._admitted(programs.ingress, case.family)
        endpoint = self.admission.endpoints.get(case.to_interface)
        if endpoint is None:
            return EMPTY
        admitted = at(self._admitted(endpoint.ingress, case.family), case.address)
        return region_of(
            (int(each), int(each), admitted)
            for each in endpoint.endpoint.addresses
            if each.version == case.family
        )

    def _itself(self, case: PacketClass, from_pod: bool) -> Region:
        """A pod's packets to itself, wherever they are led."""
        if not from_pod or not self.endpoint(case.from_interface, case.family, case.address):
            return EMPTY
        return ((case.address, case.address, ANYTHING),)

    def _admitted(self, name: str | None, family: int) -> Region:
        if name is None:
            return everything(family)
        known = self._regions.get((name, family))
        if known is None:
            known = self._regions[name, family] = granted(self.admission.programs[name], family)
        return known


def granted(program: Program, family: int) -> Region:
    """A program's grants as a set of packets."""
    return region_of(
        (
            grant.low,
            grant.high,
            ANYTHING
            if grant.protocol == 0
            else traffic((grant.protocol, grant.protocol), (grant.port_low, grant.port_high)),
        )
        for grant in program.grants
        if grant.family == family
    )


def addresses_of(endpoint: Endpoint, family: int) -> tuple[int, ...]:
    """An endpoint's addresses of one family, as numbers."""
    return tuple(int(each) for each in endpoint.addresses if each.version == family)


def _unbroken(region: Region, case: PacketClass) -> Region:
    """Without what belongs to no connection and opens none."""
    if case.state == INVALID:
        return EMPTY
    return region if opens(case.flags) else minus(region, everything(case.family, TCP_TRAFFIC))


def _spans(networks: tuple[Network, ...], family: int) -> Intervals:
    return union(
        (int(each.network_address), int(each.broadcast_address))
        for each in networks
        if each.version == family
    )
