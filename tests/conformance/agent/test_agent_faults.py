"""What goes wrong on a host: the agent is killed, the kernel's state is changed by others."""

from __future__ import annotations

import threading
import time

import pytest

PORT = 80
SERVERS = {"podSelector": {"matchLabels": {"role": "server"}}}


class Prober:
    """Opens connections again and again, one admitted and one denied, and notes each that went
    wrong."""

    def __init__(self, admitted, denied):
        self.wrong, self.rounds = [], 0
        self._admitted, self._denied = admitted, denied
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            for (client, server), expected in ((self._admitted, True), (self._denied, False)):
                timeout_s = 2 if expected else 0.05
                if client.reaches(server, timeout_s=timeout_s) is not expected:
                    self.wrong.append((client.key, server.key, expected))
            self.rounds += 1


@pytest.fixture
def guarded(cluster, pods):
    """Only a1 and a2 reach b1."""
    allow = {"from": [{"podSelector": {"matchLabels": {"role": "client"}}}]}
    cluster.policy("guard", {**SERVERS, "ingress": [allow]})
    cluster.within(2, lambda: not pods["b2"].reaches(pods["b1"]))
    return (pods["a2"], pods["b1"]), (pods["b2"], pods["b1"])


def test_a_killed_agent_leaves_everything_in_force_and_its_return_changes_nothing(
    cluster, hosts, pods, guarded
):
    host = hosts[0]
    with pods["a2"].inside.connect(pods["b1"].address, PORT) as link, Prober(*guarded) as prober:
        link.settimeout(2)
        link.recv(100)
        before, routes = host.table(), sorted(map(str, host.ask("routes")))
        host.kill()
        time.sleep(0.5)
        assert host.table() == before
        host.start()
        assert sorted(map(str, host.ask("routes"))) == routes
        assert host.table() == before
        link.sendall(b"still here")
        assert link.recv(100) == b"still here"
    assert prober.rounds > 5
    assert prober.wrong == []


def test_a_pod_started_while_no_agent_runs_is_told_to_wait(cluster, hosts):
    host = hosts[0]
    host.kill()
    pod = cluster.prepare(host, "shop/early")
    code, error = host.cni("ADD", pod)
    assert (code, error["code"]) == (1, 11)
    assert "the agent does not answer" in error["msg"]
    host.start()
    assert host.cni("ADD", pod)[0] == 0
    cluster.detach(pod)
    pod.inside.delete()


def test_what_changed_while_the_agent_was_away_is_caught_up(cluster, hosts, pods, guarded):
    host = hosts[0]
    with pods["a1"].inside.connect(pods["b1"].address, PORT) as link:
        link.settimeout(1)
        link.recv(100)
        host.kill()
        cluster.policy("guard", {**SERVERS, "policyTypes": ["Ingress"]})
        gone = pods["a1"]
        host.start()
        assert not pods["a2"].reaches(pods["b1"])
        cluster.within(2, lambda: _silent(link))
    host.kill()
    host.inside.ip("link", "del", gone.interface)  # as if the sandbox had ended
    gone.inside.delete()
    host.start()
    cluster.within(2, lambda: "shop/a1" not in {each["pod"] for each in host.ask("endpoints")})
    cluster.pods.pop("shop/a1")
    cluster.remove("pod-shop-a1")


def _silent(link):
    try:
        link.sendall(b"?")
        return not link.recv(100)
    except TimeoutError:
        return True


@pytest.mark.parametrize(
    "damage",
    [
        ("nft", "delete", "table", "inet", "romana"),
        ("nft", "flush", "chain", "inet", "romana", "forward"),
        ("nft", "flush", "map", "inet", "romana", "ingress4"),
        ("nft", "insert", "rule", "inet", "romana", "forward", "accept"),
        ("nft", "flush", "ruleset"),
    ],
    ids=" ".join,
)
def test_what_others_change_in_our_table_comes_back(cluster, hosts, pods, guarded, damage):
    host = hosts[0]
    before, repairs = (
        host.table(),
        host.metrics().get('romana_drift_repairs_total{what="policy"}', 0),
    )
    host.inside.run(*damage)
    cluster.within(2, lambda: host.inside.run("nft", "list", "tables") and _same(host, before))
    assert pods["a2"].reaches(pods["b1"])
    assert not pods["b2"].reaches(pods["b1"])
    assert host.metrics()['romana_drift_repairs_total{what="policy"}'] > repairs


def _same(host, before):
    if "romana" not in host.inside.run("nft", "list", "tables"):
        return False
    return sorted(host.table().split()) == sorted(before.split())


@pytest.mark.parametrize("which", ["10.112.0.128/25", "pod", "blackhole 10.112.0.0/25"])
def test_a_deleted_route_comes_back(cluster, hosts, pods, which):
    host = hosts[0]
    route = f"{pods['b1'].address}/32" if which == "pod" else which
    before = sorted(map(str, host.ask("routes")))
    host.inside.ip("route", "del", *route.split())
    cluster.within(2, lambda: sorted(map(str, host.ask("routes"))) == before)
    assert pods["a2"].reaches(pods["b1"])
    assert pods["a1"].reaches(pods["b2"])


def test_what_is_not_ours_is_left_alone(cluster, hosts, pods, guarded):
    host = hosts[0]
    host.inside.run("nft", "-f", "-", stdin="table inet foreign { chain c { tcp dport 7 drop; }; }")
    host.inside.ip("route", "add", "192.0.2.0/24", "via", "198.18.0.1", "proto", "static")
    foreign = host.inside.run("nft", "list", "table", "inet", "foreign")
    host.inside.run("nft", "delete", "table", "inet", "romana")
    cluster.within(2, lambda: "romana" in host.inside.run("nft", "list", "tables"))
    host.kill()
    host.start()
    assert host.inside.run("nft", "list", "table", "inet", "foreign") == foreign
    assert "192.0.2.0/24" in host.inside.ip("route", "show", "proto", "static")
    host.inside.run("nft", "delete", "table", "inet", "foreign")


def test_a_lost_database_of_leases_gives_no_address_twice(cluster, hosts, pods):
    host = hosts[0]
    host.kill()
    for path in (host.directory / "state").glob("leases.db*"):
        path.unlink()
    host.start()
    old = {pods["a1"].address, pods["b1"].address}
    cluster.within(2, lambda: old <= {each["addresses"][0] for each in host.ask("endpoints")})
    assert not pods["a2"].reaches(pods["b1"])  # closed: nobody knows any more whose it is
    new = [cluster.attach(host, f"shop/new{index}", role="client") for index in range(3)]
    assert not old & {pod.address for pod in new}
    assert new[0].reaches(new[1])
    for name in ("a1", "b1"):
        cluster.detach(pods[name])
        assert pods[name].inside.links() == {"lo"}
        pods[name].inside.delete()


def test_the_agent_stops_gracefully_and_alone(cluster, hosts, pods, guarded):
    host = hosts[0]
    before = host.table()
    host.stop()
    assert not host.socket.exists()
    assert host.table() == before
    assert not pods["b2"].reaches(pods["b1"])
    host.start()
    second = host.process
    host.start(wait=False)  # a second agent on the same state ends by itself
    assert host.process.wait(10) == 1
    assert "another agent is running" in host.log.read_text()
    host.process = second
    assert host.ready()


def test_the_configuration_is_read_again(cluster, hosts, pods):
    host = hosts[0]
    path = host.directory / "agent.yml"
    text = path.read_text()
    path.write_text(text.replace('"pods"', '"masquerade": false, "pods"'))
    host.process.send_signal(1)
    cluster.within(2, lambda: "masquerade" not in host.table())
    path.write_text("nonsense: 1")
    host.process.send_signal(1)
    cluster.within(2, lambda: "`nonsense` is not a known key" in host.log.read_text())
    path.write_text(text)
    host.process.send_signal(1)
    cluster.within(2, lambda: "masquerade" in host.table())
