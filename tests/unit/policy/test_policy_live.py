"""Compiling one snapshot after another gives exactly what compiling the last one alone gives."""

from ipaddress import ip_address

import objects_by_chance as worlds
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import structs

from romana.objects import Namespace, Pod, Requirement, Selector, Snapshot
from romana.policy import live
from romana.policy.admission import Endpoint
from romana.policy.compile import compile_admission
from romana.policy.live import LiveCompiler

FIELDS = ("namespaces", "pods", "policies", "operator_policies")


@st.composite
def next_pods(draw, snapshot):
    """Some pods come, go, or change: their labels, ports, addresses (also one that another has)."""
    pods = dict(snapshot.pods)
    other = draw(worlds.snapshots()).pods
    for pod in draw(st.lists(st.sampled_from(list(other.values())), min_size=1, max_size=3)):
        act = draw(st.sampled_from(("put", "put", "relabel", "remove", "address", "finish")))
        key = draw(st.sampled_from(list(pods))) if pods else pod.key
        if act == "put" or key not in pods:
            pods[pod.key] = pod
        elif act == "remove":
            del pods[key]
        elif act == "relabel":
            pods[key] = structs.replace(pods[key], labels=pod.labels, ports=pod.ports)
        elif act == "address":
            pods[key] = structs.replace(pods[key], addresses=pod.addresses)
        else:
            pods[key] = structs.replace(pods[key], addresses=())
    return pods


@st.composite
def steps(draw, snapshot, endpoints):
    """The next snapshot and endpoints."""
    what = draw(st.sampled_from((*FIELDS, "pods", "pods", "endpoints", "several")))
    chosen = draw(st.sets(st.sampled_from((*FIELDS, "endpoints")))) if what == "several" else {what}
    other = draw(worlds.snapshots())
    changes = {}
    if "pods" in chosen:
        changes["pods"] = draw(next_pods(snapshot))
    for name in {"policies", "operator_policies", "namespaces"} & chosen:
        mixed = {**getattr(snapshot, name), **getattr(other, name)}
        keep = draw(st.lists(st.booleans(), min_size=len(mixed), max_size=len(mixed)))
        changes[name] = {k: v for (k, v), kept in zip(mixed.items(), keep, strict=True) if kept}
    snapshot = structs.replace(snapshot, **changes)
    if "endpoints" in chosen:
        endpoints = draw(endpoint_lists(snapshot))
    return snapshot, endpoints


@st.composite
def endpoint_lists(draw, snapshot):
    """Endpoints of pods here; some of no known pod, some with an address that another pod claims,
    some pods with two."""
    found = []
    keys = [*snapshot.pods, ("x", "unknown")]
    for number in range(draw(st.integers(0, 5))):
        key = draw(st.sampled_from(keys))
        pod = snapshot.pods.get(key)
        if pod is not None and draw(st.booleans()):
            addresses = pod.addresses
        else:
            at = draw(st.integers(1, 9))
            addresses = (worlds.V4[at], worlds.V6[at])
        found.append(Endpoint(interface=f"rom{number}", addresses=addresses, pod=key))
    return found


def differing(old, new):
    """Keys of what differs, as the store tells them: sometimes of more."""
    return {
        name: {
            key
            for key in getattr(old, name).keys() | getattr(new, name).keys()
            if getattr(old, name).get(key) != getattr(new, name).get(key)
        }
        for name in FIELDS
    }


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_every_step_gives_what_compiling_from_scratch_gives(data):
    snapshot = data.draw(worlds.snapshots())
    endpoints = data.draw(endpoint_lists(snapshot))
    compiler = LiveCompiler()
    compiler.compile(snapshot, endpoints, None)
    for _ in range(data.draw(st.integers(1, 6))):
        before = snapshot
        snapshot, endpoints = data.draw(steps(snapshot, endpoints))
        made = compiler.rebuilt
        found = compiler.compile(snapshot, endpoints, differing(before, snapshot))
        assert compiler.rebuilt == made, "was compiled from scratch"
        expected = compile_admission(snapshot, endpoints)
        assert found.programs == expected.programs
        assert found == expected
        event("isolated" if found.programs else "open")


def web(name, address, **labels):
    return Pod(namespace="x", name=name, labels=labels, addresses=(ip_address(address),))


def world(*pods):
    policy = worlds.NetworkPolicy(
        namespace="x",
        name="allow",
        pods=Selector(),
        ingress=(
            worlds.PolicyRule(
                (
                    worlds.PodPeer(
                        Selector((Requirement("app", worlds.Operator.IN, ("a",)),)), None
                    ),
                ),
                None,
            ),
        ),
    )
    return Snapshot(
        namespaces={("", "x"): Namespace("x")},
        pods={pod.key: pod for pod in pods},
        policies={policy.key: policy},
    )


def grants(admission):
    ((_, program),) = admission.programs.items()
    return program.grants


HERE = [Endpoint(interface="rom0", addresses=(ip_address("10.0.0.1"),), pod=("x", "here"))]


def test_a_pod_that_comes_changes_its_grants_alone_and_leaves_other_programs_as_they_are():
    here = web("here", "10.0.0.1")
    compiler = LiveCompiler()
    first = world(here, web("one", "10.0.0.2", app="a"))
    before = compiler.compile(first, HERE, None)
    same = compiler.compile(
        world(here, web("one", "10.0.0.2", app="a"), web("two", "10.0.0.3", app="b")),
        HERE,
        {"pods": {("x", "two")}},
    )
    assert next(iter(same.programs.values())) is next(iter(before.programs.values()))
    after = compiler.compile(
        world(here, web("one", "10.0.0.2", app="a"), web("two", "10.0.0.3", app="a")),
        HERE,
        {"pods": {("x", "two")}},
    )
    ((new,),) = (grants(after) - grants(before),)
    assert new.low == int(ip_address("10.0.0.3"))


@pytest.mark.parametrize(("count", "anew"), [(live.MOST_PODS, 0), (live.MOST_PODS + 1, 1)])
def test_many_changes_are_compiled_anew(count, anew):
    pods = [web(f"p{n}", f"10.0.{n // 250}.{n % 250 + 2}", app="a") for n in range(count)]
    compiler = LiveCompiler()
    compiler.compile(world(web("here", "10.0.0.1")), HERE, None)
    made = compiler.rebuilt
    snapshot = world(web("here", "10.0.0.1"), *pods)
    found = compiler.compile(snapshot, HERE, {"pods": {pod.key for pod in pods}})
    assert compiler.rebuilt - made == anew
    assert found == compile_admission(snapshot, HERE)


def test_what_does_not_fit_is_compiled_anew():
    """A change that is not told of: the grants of the pod are not those it should have."""
    here, one = web("here", "10.0.0.1"), web("one", "10.0.0.2", app="b")
    compiler = LiveCompiler()
    compiler.compile(world(here, one), HERE, None)
    # Behind the compiler's back: it takes the pod for one that was admitted.
    compiler._compiler.snapshot.pods[one.key] = web("one", "10.0.0.2", app="a")
    snapshot = world(here, web("one", "10.0.0.3", app="a"))
    made = compiler.rebuilt
    found = compiler.compile(snapshot, HERE, {"pods": {one.key}})
    assert compiler.rebuilt == made + 1
    assert found == compile_admission(snapshot, HERE)


def test_a_romana_policy_that_changes_has_those_pods_judged_again_that_it_isolates():
    def policy(name, app):
        return worlds.OperatorPolicy(
            name=name,
            applied_to=(
                worlds.PodGroup(Selector((Requirement("app", worlds.Operator.IN, (app,)),))),
            ),
            ingress=(),
        )

    def state(*policies):
        pods = (web("here", "10.0.0.1", app="a"), web("there", "10.0.0.2", app="b"))
        return Snapshot(
            pods={pod.key: pod for pod in pods},
            operator_policies={each.key: each for each in policies},
        )

    judged = []
    endpoints = [
        *HERE,
        Endpoint(interface="rom1", addresses=(ip_address("10.0.0.2"),), pod=("x", "there")),
    ]
    compiler = LiveCompiler()
    compiler.compile(state(policy("p", "a")), endpoints, None)
    judge = compiler._compiler._judge
    compiler._compiler._judge = lambda each: judged.append(each.interface) or judge(each)
    for after, expected in (
        (state(policy("p", "c")), ["rom0"]),  # isolates nobody any more
        (state(policy("p", "c"), policy("q", "b")), ["rom1"]),
        (state(policy("p", "c"), policy("q", "a")), ["rom0", "rom1"]),
        (state(policy("p", "a"), policy("q", "a")), ["rom0"]),
        (state(), ["rom0"]),
    ):
        judged.clear()
        keys = {"operator_policies": {("", "p"), ("", "q")}}
        if expected == ["rom1"]:
            keys = {"operator_policies": {("", "q")}}
        found = compiler.compile(after, endpoints, keys)
        assert sorted(judged) == expected
        assert found == compile_admission(after, endpoints)
