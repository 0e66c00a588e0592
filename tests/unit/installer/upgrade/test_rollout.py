"""The order of a roll-out, what stops it, and that nodes are given back whatever happens."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from nodes_api import NodesApi

from installer.cluster import Cluster, Host, Network
from installer.drain import evict
from installer.engine.apply import Applied
from installer.engine.outcome import Failure
from installer.engine.plan import Plan, Verdict, Work
from installer.events import RollOut, VersionChange
from installer.hosts.init.systemd import Systemd
from installer.resources import Condition, Service
from installer.resources.base import Change
from installer.upgrade import gates, rollout
from installer.upgrade.batches import parse
from installer.upgrade.rollout import RollingOut
from installer.upgrade.settings import Settings

CHANGE = Change(before="old", after="new", repair=":")
NAMES = ("c1", "c2", "n1", "n2", "n3", "n4")


def service(name):
    return Service(name, init=Systemd(), description=name, command=("/bin/x",))


def work(host, role, resource):
    return Work(
        role=role, title=role, host=host, verdicts=(Verdict(resource=resource, change=CHANGE),)
    )


def cluster():
    groups = {"c": ("controller",), "n": ("nodes",)}
    hosts = tuple(
        Host(name=name, address=IPv4Address(f"198.18.0.{number}"), groups=groups[name[0]])
        for number, name in enumerate(NAMES, 10)
    )
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    return Cluster(
        name="demo",
        platform="static",
        kubernetes="auto",
        network=network,
        hosts=hosts,
        state=Path("/nowhere"),
    )


def plan(*, hosts=NAMES, drained=True):
    kubelet = service("kubelet") if drained else Condition("agent", holds=":")
    works = [work(h, "control-plane", service("kube-apiserver")) for h in hosts if h[0] == "c"]
    return Plan(works=(*works, *(work(host, "kubelet", kubelet) for host in hosts)))


def changes(hosts=NAMES):
    return tuple(
        VersionChange(host=host, program="kubelet", before="v1", after="v1.20.2", drain=True)
        for host in hosts
    )


class Stage:
    """A cluster in memory on which plans are carried out by writing down that they were."""

    def __init__(self, monkeypatch):
        self.api, self.applied, self.events = NodesApi(), [], []
        self.fails, self.closed = "", {}
        for name in NAMES:
            self.api.node(name)
        monkeypatch.setattr(rollout, "apply", self._apply)
        monkeypatch.setattr(rollout, "probe", lambda session, resources: {})
        monkeypatch.setattr(gates, "failing", self._failing)
        monkeypatch.setattr(rollout, "VALIDATE_EVERY_S", 0.001)
        monkeypatch.setattr(rollout, "VALIDATE_LIMIT_S", 0.05)
        monkeypatch.setattr(rollout, "_SILENCE_S", 0.0)
        monkeypatch.setattr(evict, "POLL_S", 0.001)

    def _apply(self, part, sessions, emit):
        hosts = sorted({each.host for each in part.works})
        roles = sorted({each.role for each in part.works})
        self.applied.append(f"{','.join(hosts)}: {','.join(roles)}")
        for host in hosts:
            if host not in self.api.nodes:
                self.api.node(host)
            self.api.done.append(f"changed {host}")
        bad = [Failure(host=h, role="kubelet", reason="broken") for h in hosts if h == self.fails]
        return Applied(changed=True, failures=tuple(bad))

    def _failing(self, plan, hosts, sessions):
        return next((self.closed[host] for host in hosts if host in self.closed), "")

    def run(self, a_plan=None, moves=None, **settings):
        def snapshot():
            self.applied.append("snapshot")
            return "kept"

        return asyncio.run(
            RollingOut(
                cluster=cluster(),
                plan=a_plan or plan(),
                changes=changes() if moves is None else moves,
                sessions=dict.fromkeys(NAMES),
                emit=self.events.append,
                settings=replace(Settings(drain_timeout_s=0.05), **settings),
                snapshot=snapshot,
            ).run(self.api)
        )

    def clean(self):
        """Whether no node bears a trace."""
        return all(
            not node["spec"].get("unschedulable")
            and not node["spec"].get("taints")
            and not node["metadata"]["annotations"]
            for node in self.api.nodes.values()
        )


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


def test_controllers_then_a_canary_then_batches(stage):
    assert stage.run(batch=parse("50%")).failures == ()
    assert stage.applied == [
        "snapshot",
        "c1: control-plane",
        "c2: control-plane",
        "c1: kubelet",
        "c2: kubelet",
        "n1: kubelet",
        "n2,n3: kubelet",
        "n4: kubelet",
    ]
    assert stage.clean()


def test_a_node_is_cordoned_and_emptied_before_and_given_back_after(stage):
    stage.api.pod("web", "n1")
    stage.run(plan(hosts=("n1",)), changes(("n1",)))
    story = [line for line in stage.api.done if "n1" in line or "web" in line]
    assert [line.strip() for line in story] == [
        "n1: romana.io/outdated",
        "n1: cordoned romana.io/outdated",
        "evicted web by policy/v1beta1",
        "changed n1",
        "n1: cordoned",
        "n1:",
    ]


def test_what_does_not_disturb_pods_is_done_on_all_hosts_at_once(stage):
    nodes = NAMES[2:]
    stage.run(plan(hosts=nodes, drained=False), ())
    assert stage.applied == ["n1,n2,n3,n4: kubelet"]
    assert [line for line in stage.api.done if "cordoned" in line] == []


def test_hosts_that_are_no_nodes_yet_join_before_others_are_taken_down(stage):
    del stage.api.nodes["n4"]
    stage.run(plan(hosts=("n3", "n4")), changes(("n3",)))
    assert stage.applied == ["n4: kubelet", "n3: kubelet"]


def test_a_control_plane_that_is_not_healthy_stops_all_before_the_next_is_touched(stage):
    stage.closed = {"c2": "not within 60 s on c2: etcd is healthy"}
    (failure,) = stage.run().failures
    assert (failure.host, failure.role) == ("c1", "control-plane")
    assert "etcd is healthy" in failure.reason
    assert stage.applied == ["snapshot"]
    assert stage.clean()


def test_a_budget_that_never_yields_stops_it_and_the_node_is_given_back(stage):
    stage.api.pod("web", "n2", app="web")
    stage.api.budgets["web"] = 0
    (failure,) = stage.run().failures
    assert (failure.host, failure.role) == ("n2", "drain")
    assert "default/web (The disruption budget web" in failure.reason
    assert stage.applied[-1] == "n1: kubelet"
    assert stage.clean()
    told = [e.text for e in stage.events if isinstance(e, RollOut) and "waits" in e.text]
    assert told == [
        "waits for default/web (The disruption budget web needs 1 healthy pods and has 1 currently)"
    ]


def test_a_node_that_could_not_be_changed_stops_it_and_is_given_back(stage):
    stage.fails = "n1"
    (failure,) = stage.run().failures
    assert (failure.host, failure.role, failure.reason) == (
        "n1",
        "replace",
        "in role kubelet: broken",
    )
    assert stage.applied[-1] == "n1: kubelet"
    assert stage.clean()


def test_a_node_whose_kubelet_falls_silent_is_not_taken_for_ready(stage):
    stage.api.mute.add("n1")
    (failure,) = stage.run().failures
    assert (failure.host, failure.role) == ("n1", "validate")
    assert "its kubelet has said nothing since" in failure.reason
    assert stage.clean()


def test_a_node_that_never_is_ready_stops_it(stage):
    stage.api.ready("n1", "False")
    (failure,) = stage.run().failures
    assert (failure.host, failure.role) == ("n1", "validate")
    assert "n1 is not Ready" in failure.reason
    assert stage.applied[-1] == "n1: kubelet"


def test_what_a_killed_run_has_left_is_given_back(stage):
    for name in ("n2", "n3"):
        stage.api.nodes[name]["spec"]["unschedulable"] = True
        stage.api.nodes[name]["metadata"]["annotations"] = {
            "romana.io/cordoned-by-installer": "true"
        }
    idle = Plan(works=(work("n1", "x", Condition("x", holds=":")),))
    others = tuple(replace(each, host=name) for name in ("n2", "n3") for each in idle.works)
    stage.run(replace(idle, works=idle.works + others), ())
    assert stage.clean()


def test_what_an_operator_has_cordoned_stays_so(stage):
    stage.api.nodes["n1"]["spec"]["unschedulable"] = True
    assert stage.run().failures == ()
    assert stage.api.nodes["n1"]["spec"]["unschedulable"]


def test_an_only_api_server_that_is_down_is_mended_first(stage):
    stage.api.silent = 1
    assert stage.run().failures == ()
    assert stage.applied[:2] == ["c1: control-plane", "c2: control-plane"]
    assert stage.clean()


def test_a_batch_leaves_no_room_where_others_are_down(stage):
    stage.api.ready("n4", "False")
    hosts = ("n1", "n2")
    (failure,) = stage.run(plan(hosts=hosts), changes(hosts), batch=parse("1")).failures
    assert failure.role == "cordon"
    assert "n4 is down already" in failure.reason
    assert stage.applied == []
