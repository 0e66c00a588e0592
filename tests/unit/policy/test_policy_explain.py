"""Explanations as operators read them, and the parties they name."""

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from romana.objects import (
    ContainerPort,
    NetworkPolicy,
    Node,
    Operator,
    Pod,
    PodPeer,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import Admission, Endpoint, EndpointPrograms, Flow
from romana.policy.compile import compile_admission
from romana.policy.explain import explain
from romana.policy.judge import admits
from romana.policy.parties import UnknownParty, flow_between
from romana.policy.verdict import Outcome

TCP = Protocol.TCP
FRONTEND = Selector((Requirement("role", Operator.IN, ("frontend",)),))
BACKEND = Selector((Requirement("role", Operator.IN, ("backend",)),))


def pod(name, role, *addresses, **fields):
    return Pod(
        namespace="x",
        name=name,
        labels={"role": role},
        addresses=tuple(ip_address(each) for each in addresses),
        node="n1",
        **fields,
    )


WEB = pod("web", "frontend", "fd00::1", "10.0.0.1")
DB = pod("db", "backend", "10.0.0.2", "fd00::2", ports=(ContainerPort("sql", 5432),))
PENDING = pod("pending", "backend")
POL1 = NetworkPolicy(
    namespace="x",
    name="pol1",
    pods=BACKEND,
    ingress=(
        PolicyRule((), None),
        PolicyRule((PodPeer(FRONTEND),), (PortMatch(TCP, 80), PortMatch(TCP, "sql"))),
    ),
)
DENY = NetworkPolicy(namespace="x", name="deny", ingress=())
WORLD = Snapshot(
    pods={each.key: each for each in (WEB, DB, PENDING)},
    policies={each.key: each for each in (POL1, DENY)},
    nodes={("", "n1"): Node("n1", (ip_address("198.18.0.1"),))},
)
LEASE = Endpoint(interface="rom1", addresses=(ip_address("10.0.0.9"),), pod=PENDING.key)


def between(source, destination, port=80, **fields):
    return flow_between(WORLD, source, destination, TCP, port, **fields)


@pytest.mark.parametrize(
    ("source", "destination", "port", "egress", "ingress", "admitted"),
    [
        (
            "x/web",
            "x/db",
            80,
            "egress of x/web: admitted: no policy isolates the pod in this direction",
            "ingress of x/db: admitted by NetworkPolicy x/pol1 ingress[1]",
            True,
        ),
        (
            "x/web",
            "x/db",
            81,
            "egress of x/web: admitted: no policy isolates the pod in this direction",
            "ingress of x/db: denied: isolated by NetworkPolicy x/deny, NetworkPolicy x/pol1; "
            "no rule matched",
            False,
        ),
        (
            "192.0.2.1",
            "x/web",
            80,
            "egress of 192.0.2.1: not judged: the address is no pod's own",
            "ingress of x/web: denied: isolated by NetworkPolicy x/deny; no rule matched",
            False,
        ),
        (
            "x/db",
            "x/db",
            80,
            "egress of x/db: admitted: a pod always reaches itself",
            "ingress of x/db: admitted: a pod always reaches itself",
            True,
        ),
        (
            "198.18.0.1",
            "x/db",
            1,
            "egress of 198.18.0.1: not judged: the address is no pod's own",
            "ingress of x/db: admitted: a node always reaches its own pods",
            True,
        ),
    ],
)
def test_as_operators_read_it(source, destination, port, egress, ingress, admitted):
    explanation = explain(WORLD, between(source, destination, port))
    last = "the connection is admitted" if admitted else "the connection is denied"
    assert explanation.lines == (egress, ingress, last)
    assert explanation.agrees
    data = json.loads(json.dumps(explanation.as_json()))
    assert data["admitted"] is admitted
    assert data["ingress"]["text"] == ingress


def test_json_names_romana_policies_and_rules():
    data = explain(WORLD, between("x/web", "x/db")).as_json()["ingress"]
    assert data["isolated_by"] == ["kube.x.deny.ingress", "kube.x.pol1.ingress"]
    assert data["admitted_by"] == [{"policy": "kube.x.pol1.ingress", "rule": 1}]


def test_endpoint_of_an_unknown_pod_is_explained_as_closed():
    stray = replace(LEASE, pod=("x", "new"))
    flow = Flow(source=ip_address("10.0.0.1"), destination=stray.addresses[0], protocol=6, port=80)
    explanation = explain(WORLD, flow, (stray,))
    assert explanation.ingress.text == (
        "ingress of x/new: denied: the pod is not known (yet), so it is closed"
    )
    assert explanation.agrees


def test_what_is_in_force_is_checked_too():
    flow = between("x/web", "x/db", 81)
    endpoint = Endpoint(interface="rom2", addresses=DB.addresses, pod=DB.key)
    current = compile_admission(WORLD, (endpoint,))
    stale = Admission(endpoints={"rom2": EndpointPrograms(endpoint=endpoint)})
    assert explain(WORLD, flow, (endpoint,), current).agrees
    outdated = explain(WORLD, flow, (endpoint,), stale)
    assert not outdated.agrees
    assert outdated.lines[-1].startswith("what is compiled says otherwise")


def test_judge_names_the_program_and_leaves_other_hosts_out():
    endpoint = Endpoint(interface="rom2", addresses=DB.addresses, pod=DB.key)
    admission = compile_admission(WORLD, (endpoint,))
    verdict = admits(admission, between("x/web", "x/db", 81))
    assert verdict.egress.outcome is Outcome.OUTSIDE
    assert verdict.ingress.outcome is Outcome.DENIED
    assert verdict.ingress.program == admission.endpoints["rom2"].ingress
    assert not verdict.admitted


def test_parties_meet_in_the_first_family_they_share():
    flow = between("x/web", "x/db")
    assert (str(flow.source), str(flow.destination)) == ("fd00::1", "fd00::2")
    chosen = between("x/web:10.0.0.1", "x/db")
    assert (str(chosen.source), str(chosen.destination)) == ("10.0.0.1", "10.0.0.2")
    assert str(between("x/web:fd00::1", "x/db").source) == "fd00::1"


def test_port_may_be_named_as_on_the_destination():
    assert between("x/web", "x/db", "sql").port == 5432


def test_lease_counts_before_status():
    assert str(between("x/web", "x/pending", endpoints=(LEASE,)).destination) == "10.0.0.9"


@pytest.mark.parametrize(
    ("source", "destination", "port", "message"),
    [
        ("x/nope", "x/db", 80, "there is no pod x/nope; `kubectl get pods -n x` lists them"),
        ("x/web", "x/pending", 80, "pod x/pending has no address"),
        ("x/web:10.0.0.8", "x/db", 80, "pod x/web does not have address 10.0.0.8; it has fd00::1"),
        ("web", "x/db", 80, "`web` is not an address; write NAMESPACE/POD"),
        ("x/web", "x/db", "http", "x/db names no TCP port `http`; give a number"),
        ("x/web", "192.0.2.1", "http", "192.0.2.1 names no TCP port `http`"),
        ("x/web:fd00::1", "x/db:10.0.0.2", 80, "have no addresses of the same family"),
    ],
)
def test_unknown_party(source, destination, port, message):
    with pytest.raises(UnknownParty) as raised:
        between(source, destination, port)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
