"""Every cell of the shared conformance data, by the reference and by the compiled form; and again
with its policies written as Romana policies, and as those of Kubernetes 1.3."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from romana.objects import (
    DEFAULT_DENY_ANNOTATION,
    NetworkPolicy,
    Operator,
    Pod,
    PolicyRule,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.judge import Judge
from romana.policy.translate import translate
from romana.sources.romana_policies import romana_policy_from
from romana.sources.wire import namespace_from, pod_from, policy_from

DATA = Path(__file__).parents[2] / "conformance" / "data" / "networkpolicy-v1.json.gz"
CELLS = 62565
INGRESS_CELLS = 8619
"""Those of steps without a policy for egress."""
SERVED = tuple((port, protocol) for port in (80, 81) for protocol in Protocol)


def read() -> list[dict]:
    return json.loads(gzip.decompress(DATA.read_bytes()))


def snapshot_of(step: dict) -> Snapshot:
    namespaces = [
        namespace_from({"metadata": {"name": name, "labels": labels}})
        for name, labels in step["namespaces"].items()
    ]
    ports = [
        {
            "name": f"serve-{port}-{protocol.value.lower()}",
            "containerPort": port,
            "protocol": protocol.value,
        }
        for port, protocol in SERVED
    ]
    pods = [
        pod_from(
            {
                "metadata": {
                    "namespace": pod["ns"],
                    "name": pod["name"],
                    "labels": pod["labels"],
                },
                "spec": {"containers": [{"ports": ports}]},
                "status": {"phase": "Running", "podIPs": [{"ip": pod["ip"]}]},
            }
        )
        for pod in step["pods"]
    ]
    policies = [policy_from(policy) for policy in step["policies"]]
    return Snapshot(
        namespaces={each.key: each for each in namespaces},
        pods={each.key: each for each in pods},
        policies={each.key: each for each in policies},
    )


def as_written(snapshot: Snapshot) -> Snapshot:
    return snapshot


def as_romana_policies(snapshot: Snapshot) -> Snapshot:
    """The same by what `romana policy show` prints of each policy, read as a RomanaPolicy."""
    found = [
        romana_policy_from({"metadata": {"name": f"p{number}"}, "spec": spec_of(shown.as_json())})
        for number, shown in enumerate(
            each for policy in snapshot.policies.values() for each in translate(policy)
        )
    ]
    return structs.replace(
        snapshot, policies={}, operator_policies={each.key: each for each in found}
    )


def spec_of(shown: dict) -> dict:
    return {key: value for key, value in shown.items() if key not in ("name", "origin")}


def as_in_kubernetes_1_3(snapshot: Snapshot) -> Snapshot | None:
    """The same with every namespace isolated by its annotation: then a pod that no policy selects
    needs one that opens it. There is no egress in 1.3."""
    policies = [structs.replace(each, beta=True) for each in snapshot.policies.values()]
    if any(each.egress is not None for each in policies):
        return None
    for pod in snapshot.pods.values():
        own = [each for each in policies if each.namespace == pod.namespace]
        if not any(each.pods.matches(pod.labels) for each in own):
            labels = Selector(
                tuple(Requirement(key, Operator.IN, (pod.labels[key],)) for key in pod.labels)
            )
            opening = NetworkPolicy(
                namespace=pod.namespace,
                name=f"open-{pod.name}",
                pods=labels,
                ingress=(PolicyRule(),),
                beta=True,
            )
            policies.append(opening)
    return structs.replace(
        snapshot,
        namespaces={
            key: structs.replace(each, isolated_by=DEFAULT_DENY_ANNOTATION)
            for key, each in snapshot.namespaces.items()
        },
        policies={each.key: each for each in policies},
    )


def probed(step: dict, destination: Pod) -> list[tuple[int, Protocol]]:
    """The ports of a destination that a step probes."""
    if step["probe"]["AllAvailable"]:
        return list(SERVED)
    wanted = step["probe"]["PortProtocol"]
    protocol = Protocol(wanted["Protocol"])
    return [
        (each.port, protocol)
        for each in destination.ports
        if each.protocol is protocol and wanted["Port"] in (each.port, each.name)
    ]


def cells(step: dict, snapshot: Snapshot) -> Iterator[tuple[Pod, Pod, int, Protocol]]:
    for source in snapshot.pods.values():
        for destination in snapshot.pods.values():
            for port, protocol in probed(step, destination):
                yield source, destination, port, protocol


@pytest.mark.parametrize(
    ("restated", "expected_cells"),
    [
        (as_written, CELLS),
        (as_romana_policies, CELLS),
        (as_in_kubernetes_1_3, INGRESS_CELLS),
    ],
)
def test_every_cell_is_as_the_data_says(
    restated: Callable[[Snapshot], Snapshot | None], expected_cells: int
):
    counted = wrong = 0
    examples = []
    for case in read():
        for number, step in enumerate(case["steps"]):
            snapshot = restated(snapshot_of(step))
            if snapshot is None:
                continue
            endpoints = [
                Endpoint(interface="/".join(pod.key), addresses=pod.addresses, pod=pod.key)
                for pod in snapshot.pods.values()
            ]
            judge = Judge(compile_admission(snapshot, endpoints))
            blocked = {
                (source, destination, protocol, port): (ingress == "a", egress == "a")
                for source, destination, protocol, port, ingress, egress in step["blocked"]
            }
            for source, destination, port, protocol in cells(step, snapshot):
                counted += 1
                names = ("/".join(source.key), "/".join(destination.key))
                # A pod always reaches itself: the data judges no such pair.
                expected = (
                    (True, True)
                    if source is destination
                    else blocked.get((*names, protocol.value, port), (True, True))
                )
                flow = Flow(
                    source=source.addresses[0],
                    destination=destination.addresses[0],
                    protocol=protocol.number,
                    port=port,
                )
                for by, verdict in (
                    ("evaluate", evaluate(snapshot, flow)),
                    ("compiled", judge.verdict(flow)),
                ):
                    if (verdict.ingress.admitted, verdict.egress.admitted) != expected:
                        wrong += 1
                        examples.append((case["description"], number, *names, protocol, port, by))
    assert not wrong, examples[:20]
    assert counted == expected_cells
