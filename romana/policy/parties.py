"""From what an operator writes (`NAMESPACE/POD`, `NAMESPACE/POD:ADDRESS`, an address) to a flow."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from romana.objects import Address, Key, Pod, Protocol, Snapshot
from romana.policy.admission import Endpoint, Flow
from romana.policy.pods import resolve


class UnknownParty(ValueError):
    """A pod, an address or a port cannot be found; the message is one line for the operator."""


def flow_between(
    snapshot: Snapshot,
    source: str,
    destination: str,
    protocol: Protocol,
    port: int | str,
    endpoints: Iterable[Endpoint] = (),
) -> Flow:
    """The flow that an operator asks about.

    Args:
        snapshot: the cluster.
        source: `NAMESPACE/POD`, `NAMESPACE/POD:ADDRESS` or an address.
        destination: likewise. Of pods with several addresses, the first two of one family count.
        protocol: of the connection.
        port: the destination's, or its name on the destination pod.
        endpoints: this host's: a pod has its lease before its status says so.

    Raises:
        UnknownParty: there is no such pod, it has no address, or the port has no such name there.
    """
    leases = {endpoint.pod: endpoint.addresses for endpoint in endpoints}
    to = _addresses(snapshot, destination, leases)
    for first in _addresses(snapshot, source, leases):
        for second in to:
            if first.version == second.version:
                number = _port(snapshot, destination, protocol, port)
                return Flow(source=first, destination=second, protocol=protocol.number, port=number)
    raise UnknownParty(f"{source} and {destination} have no addresses of the same family")


def _addresses(
    snapshot: Snapshot, text: str, leases: dict[Key, tuple[Address, ...]]
) -> tuple[Address, ...]:
    if "/" not in text:
        return (_address(text),)
    name, _, chosen = text.partition(":")
    pod = _pod(snapshot, name)
    addresses = leases.get(pod.key, pod.addresses)
    if not chosen:
        if not addresses:
            raise UnknownParty(f"pod {name} has no address: it is not running (yet, or any more)")
        return addresses
    address = _address(chosen)
    if address not in addresses:
        have = ", ".join(map(str, addresses)) or "none"
        raise UnknownParty(f"pod {name} does not have address {address}; it has {have}")
    return (address,)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        wanted = "NAMESPACE/POD, NAMESPACE/POD:ADDRESS or an address"
        raise UnknownParty(f"`{text}` is not an address; write {wanted}") from error


def _pod(snapshot: Snapshot, name: str) -> Pod:
    namespace, _, pod_name = name.partition("/")
    pod = snapshot.pods.get((namespace, pod_name))
    if pod is None:
        raise UnknownParty(f"there is no pod {name}; `kubectl get pods -n {namespace}` lists them")
    return pod


def _port(snapshot: Snapshot, destination: str, protocol: Protocol, port: int | str) -> int:
    if isinstance(port, int):
        return port
    name = destination.partition(":")[0]
    numbers = resolve(_pod(snapshot, name), (port, protocol)) if "/" in destination else ()
    if not numbers:
        raise UnknownParty(f"{destination} names no {protocol.value} port `{port}`; give a number")
    return numbers[0]
