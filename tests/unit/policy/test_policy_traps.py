"""The traps of NetworkPolicy, one named case each: what the manifest says, and who may connect.

The world: namespaces x and y with pods a and b each, 10.0.0.1-4, all on node n1; every pod names
`web` TCP 80 and `dns` UDP 53, except y/b, where `web` is TCP 8080. Besides, two pods in their
node's network, x/host on n1 and x/far on n2. Each case lists the flows that pass and that do not.
"""

from dataclasses import dataclass
from ipaddress import ip_address

import pytest
import yaml

from romana.objects import Snapshot
from romana.policy.admission import Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.policy.judge import Judge
from romana.sources.wire import namespace_from, node_from, pod_from, policy_from

NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "SCTP": 132}
ADDRESSES = {
    "x/a": "10.0.0.1",
    "x/b": "10.0.0.2",
    "y/a": "10.0.0.3",
    "y/b": "10.0.0.4",
    "x/host": "10.0.1.1",
    "x/far": "10.0.2.1",
    "x/a6": "fd00::1",
    "x/b6": "fd00::2",
    "y/a6": "fd00::3",
    "node": "10.0.1.1",
    "world": "192.0.2.1",
}


@dataclass(frozen=True)
class Case:
    """`passes` and `fails` hold flows: source, destination, protocol, port."""

    name: str
    policies: str
    passes: str
    fails: str = ""


def pod(namespace: str, name: str, number: int, **spec: object) -> dict:
    web = 8080 if (namespace, name) == ("y", "b") else 80
    ports = [
        {"name": "web", "containerPort": web},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    ]
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
        "spec": {"nodeName": "n1", "containers": [{"ports": ports}]} | spec,
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number}"}],
        },
    }


def world(policies: str) -> Snapshot:
    manifests = [
        pod("x", "a", 1),
        pod("x", "b", 2),
        pod("y", "a", 3),
        pod("y", "b", 4),
        pod("x", "host", 9, hostNetwork=True, nodeName="n1"),
        pod("x", "far", 9, hostNetwork=True, nodeName="n2"),
    ]
    manifests[4]["status"]["podIPs"] = [{"ip": ADDRESSES["x/host"]}]
    manifests[5]["status"]["podIPs"] = [{"ip": ADDRESSES["x/far"]}]
    pods = [pod_from(each) for each in manifests]
    namespaces = [
        namespace_from({"metadata": {"name": name, "labels": {"ns": name}}}) for name in "xy"
    ]
    read = [
        policy_from(
            {
                "metadata": {"namespace": each.pop("in", "x"), "name": each.pop("name", f"p{n}")},
                "spec": each,
            }
        )
        for n, each in enumerate(yaml.safe_load(policies) or [])
    ]
    node = node_from(
        {
            "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": ADDRESSES["node"]}]},
        }
    )
    return Snapshot(
        namespaces={each.key: each for each in namespaces},
        pods={each.key: each for each in pods},
        policies={each.key: each for each in read},
        nodes={node.key: node},
    )


def flows(text: str) -> list[Flow]:
    found = []
    for line in text.strip().splitlines():
        source, destination, protocol, port = line.split()
        found.append(
            Flow(
                source=ip_address(ADDRESSES[source]),
                destination=ip_address(ADDRESSES[destination]),
                protocol=NUMBERS[protocol],
                port=int(port),
            )
        )
    return found


CASES = (
    Case(
        "ingress missing: isolated, nothing admitted",
        "- {podSelector: {}}",
        "x/a y/a TCP 80\nx/a x/a TCP 80",
        "y/a x/a TCP 80\nx/b x/a TCP 80\nx/b x/a ICMP 0\nworld x/a UDP 53\nx/b6 x/a6 TCP 80",
    ),
    Case(
        "ingress empty list: the same",
        "- {podSelector: {}, ingress: []}",
        "x/a y/a TCP 80",
        "y/a x/a TCP 80",
    ),
    Case(
        "one empty rule admits everything",
        "- {podSelector: {}, ingress: [{}]}",
        "y/a x/a TCP 80\nworld x/a ICMP 0\ny/a6 x/a6 SCTP 80",
    ),
    Case(
        "from empty list means every peer",
        "- {podSelector: {}, ingress: [{from: [], ports: [{port: 80}]}]}",
        "y/a x/a TCP 80\nworld x/a TCP 80\ny/a6 x/a6 TCP 80",
        "y/a x/a UDP 80\ny/a x/a TCP 81",
    ),
    Case(
        "empty podSelector in from: the policy's namespace only",
        "- {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}",
        "x/b x/a TCP 80\nx/b6 x/a6 TCP 80",
        "y/a x/a TCP 80\nworld x/a TCP 80",
    ),
    Case(
        "empty namespaceSelector: every pod, but pods only",
        "- {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}",
        "y/a x/a TCP 80\nx/b x/a TCP 80",
        "world x/a TCP 80",
    ),
    Case(
        "both selectors in one peer: both must hold",
        """
        - podSelector: {}
          ingress:
          - from:
            - namespaceSelector: {matchLabels: {ns: y}}
              podSelector: {matchLabels: {pod: a}}
        """,
        "y/a x/b TCP 80",
        "y/b x/b TCP 80\nx/a x/b TCP 80",
    ),
    Case(
        "selectors in two peers: either suffices",
        """
        - podSelector: {}
          ingress:
          - from:
            - namespaceSelector: {matchLabels: {ns: y}}
            - podSelector: {matchLabels: {pod: a}}
        """,
        "y/a x/b TCP 80\ny/b x/b TCP 80\nx/a x/b TCP 80",
        "x/b x/a TCP 80",
    ),
    Case(
        "two rules do not mix their peers and ports (Romana 2016 did)",
        """
        - podSelector: {matchLabels: {pod: a}}
          ingress:
          - {from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}
          - {from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81}]}
        """,
        "x/b x/a TCP 80\ny/a x/a TCP 81",
        "x/b x/a TCP 81\ny/a x/a TCP 80",
    ),
    Case(
        "port without protocol is TCP",
        "- {podSelector: {}, ingress: [{ports: [{port: 53}]}]}",
        "y/a x/a TCP 53",
        "y/a x/a UDP 53\ny/a x/a SCTP 53",
    ),
    Case(
        "protocol without port: every port of it, nothing else",
        "- {podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}",
        "y/a x/a UDP 53\ny/a x/a UDP 65535",
        "y/a x/a TCP 53\ny/a x/a ICMP 0",
    ),
    Case(
        "every port beside one port stays every port",
        "- {podSelector: {}, ingress: [{ports: [{protocol: TCP, port: 80}, {protocol: TCP}]}]}",
        "y/a x/a TCP 80\ny/a x/a TCP 81",
        "y/a x/a UDP 80",
    ),
    Case(
        "SCTP only still isolates TCP and UDP",
        "- {podSelector: {}, ingress: [{ports: [{protocol: SCTP, port: 80}]}]}",
        "y/a x/a SCTP 80",
        "y/a x/a TCP 80\ny/a x/a UDP 80\ny/a x/a ICMP 0",
    ),
    Case(
        "endPort: both ends included",
        "- {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}",
        "y/a x/a TCP 80\ny/a x/a TCP 90",
        "y/a x/a TCP 79\ny/a x/a TCP 91\ny/a x/a UDP 85",
    ),
    Case(
        "endPort equal to port is one port",
        "- {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}]}]}",
        "y/a x/a TCP 80",
        "y/a x/a TCP 81",
    ),
    Case(
        "named port, ingress: as it is on the subject",
        "- {in: 'y', podSelector: {}, ingress: [{ports: [{port: web}]}]}",
        "x/a y/a TCP 80\nx/a y/b TCP 8080",
        "x/a y/b TCP 80\nx/a y/a TCP 8080",
    ),
    Case(
        "named port, egress: as it is on each peer",
        """
        - podSelector: {}
          policyTypes: [Egress]
          egress: [{to: [{namespaceSelector: {}}], ports: [{port: web}]}]
        """,
        "x/a y/a TCP 80\nx/a y/b TCP 8080\nx/a x/b TCP 80",
        "x/a y/b TCP 80\nx/a y/a TCP 8080",
    ),
    Case(
        "named port, egress to every peer or to a block: pods that name it, nobody else",
        """
        - podSelector: {matchLabels: {pod: a}}
          policyTypes: [Egress]
          egress: [{ports: [{port: web}]}]
        - podSelector: {matchLabels: {pod: b}}
          policyTypes: [Egress]
          egress: [{to: [{ipBlock: {cidr: 10.0.0.4/31}}], ports: [{port: web}]}]
        """,
        "x/a y/b TCP 8080\nx/a x/b TCP 80\nx/b y/b TCP 8080\nx/a6 y/a6 TCP 80",
        "x/a world TCP 80\nx/a y/b TCP 80\nx/b y/a TCP 80\nx/b y/b TCP 80",
    ),
    Case(
        "named port with another protocol admits nothing",
        "- {podSelector: {}, ingress: [{ports: [{protocol: UDP, port: web}]}]}",
        "x/a y/a UDP 80",
        "y/a x/a UDP 80\ny/a x/a TCP 80",
    ),
    Case(
        "named port that no container has admits nothing",
        "- {podSelector: {}, ingress: [{ports: [{port: nope}]}]}",
        "x/a y/a TCP 80",
        "y/a x/a TCP 80",
    ),
    Case(
        "named port beside a number: the number works on its own",
        "- {podSelector: {}, ingress: [{ports: [{port: nope}, {port: 81}]}]}",
        "y/a x/a TCP 81",
        "y/a x/a TCP 80",
    ),
    Case(
        "ipBlock matches pods' addresses, in its own family only",
        "- {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}",
        "y/a x/a TCP 80\nworld x/a TCP 80",
        "y/a6 x/a6 TCP 80",
    ),
    Case(
        "ipBlock of IPv6",
        """
        - podSelector: {}
          ingress: [{from: [{ipBlock: {cidr: 'fd00::/64', except: ['fd00::2/128']}}]}]
        """,
        "y/a6 x/a6 TCP 80",
        "x/b6 x/a6 TCP 80\ny/a x/a TCP 80",
    ),
    Case(
        "except is no deny: another peer may admit it",
        """
        - podSelector: {matchLabels: {pod: a}}
          ingress:
          - from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.2/31]}}]
            ports: [{port: 80}]
        - podSelector: {matchLabels: {pod: a}}
          ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 81}]}]
        """,
        "y/b x/a TCP 80\nx/b x/a TCP 81",
        "x/b x/a TCP 80\ny/a x/a TCP 80\ny/b x/a TCP 81",
    ),
    Case(
        "ingress only, though egress is absent: egress stays open",
        "- {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}",
        "x/a y/a TCP 80\nx/a world UDP 53",
        "y/a x/a TCP 80",
    ),
    Case(
        "egress present without policyTypes: both directions are isolated",
        "- {podSelector: {}, egress: [{}]}",
        "x/a y/a TCP 80",
        "y/a x/a TCP 80\nx/b x/a TCP 80",
    ),
    Case(
        "policyTypes [Egress]: ingress stays open, its rules do not count",
        "- {podSelector: {}, policyTypes: [Egress], ingress: []}",
        "y/a x/a TCP 80",
        "x/a y/a TCP 80\nx/a x/b TCP 80\nx/a world TCP 80",
    ),
    Case(
        "policyTypes in any order",
        "- {podSelector: {}, policyTypes: [Egress, Ingress]}",
        "x/a x/a TCP 80",
        "y/a x/a TCP 80\nx/a y/a TCP 80",
    ),
    Case(
        "both sides must admit",
        """
        - {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}, {port: 81}]}]}
        - {in: 'y', podSelector: {}, ingress: [{ports: [{port: 80}, {port: 82}]}]}
        """,
        "x/a y/a TCP 80",
        "x/a y/a TCP 81\nx/a y/a TCP 82",
    ),
    Case(
        "policies add up: one that denies all takes nothing from another",
        """
        - {podSelector: {}}
        - {podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}
        """,
        "y/a x/a TCP 80",
        "y/a x/b TCP 80\ny/a x/a TCP 81",
    ),
    Case(
        "hostNetwork pods are no subjects, and labels do not choose them",
        """
        - podSelector: {}
          policyTypes: [Ingress, Egress]
          ingress: [{from: [{podSelector: {}}]}]
        """,
        "x/host y/a TCP 80\ny/a x/host TCP 80\nworld x/host TCP 80\nworld x/far TCP 80",
        "x/far x/a TCP 80\nx/a x/host TCP 80\nx/a x/far TCP 80",
    ),
    Case(
        "a node reaches its own pods; its pods need a rule to reach it",
        "- {podSelector: {}, policyTypes: [Ingress, Egress]}",
        "node x/a TCP 80\nnode x/b UDP 53",
        "x/a node TCP 80\nworld x/a TCP 80",
    ),
    Case(
        "a pod reaches itself at any address, under any policy",
        "- {podSelector: {}, policyTypes: [Ingress, Egress]}",
        "x/a x/a TCP 80\nx/a6 x/a6 UDP 1\nx/a x/a ICMP 0",
        "x/a x/b TCP 80",
    ),
    Case(
        "NotIn holds where the label is absent, DoesNotExist likewise",
        """
        - podSelector: {matchExpressions: [{key: nope, operator: DoesNotExist}]}
          ingress:
          - from: [{podSelector: {matchExpressions: [{key: nope, operator: NotIn, values: [v]}]}}]
        """,
        "x/b x/a TCP 80",
        "y/a x/a TCP 80",
    ),
    Case(
        "Exists and In on namespaces",
        """
        - podSelector: {}
          ingress:
          - from:
            - namespaceSelector:
                matchExpressions:
                - {key: ns, operator: Exists}
                - {key: ns, operator: In, values: ['y', 'z']}
        """,
        "y/a x/a TCP 80",
        "x/b x/a TCP 80",
    ),
    Case(
        "a policy selects pods of its own namespace only",
        "- {in: 'y', podSelector: {}}",
        "y/a x/a TCP 80\nx/b x/a TCP 80",
        "x/a y/a TCP 80",
    ),
)


def admitted_by_all(snapshot: Snapshot, flow: Flow) -> set[bool]:
    endpoints = [
        Endpoint(interface="/".join(pod.key), addresses=pod.addresses, pod=pod.key)
        for pod in snapshot.pods.values()
        if not pod.host_network
    ]
    node = (ip_address(ADDRESSES["node"]),)
    compiled = Judge(compile_admission(snapshot, endpoints), node)
    explanation = explain(snapshot, flow, endpoints)
    assert explanation.agrees
    return {
        evaluate(snapshot, flow).admitted,
        compiled.verdict(flow).admitted,
        explanation.admitted,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trap(case):
    snapshot = world(case.policies)
    for text, expected in ((case.passes, True), (case.fails, False)):
        for flow in flows(text):
            assert admitted_by_all(snapshot, flow) == {expected}, flow
