"""Policies in the kernel by the real agent: both hosts, both directions, live changes."""

from __future__ import annotations

PORT = 80
SERVERS = {"podSelector": {"matchLabels": {"role": "server"}}}
CLIENTS = {"podSelector": {"matchLabels": {"role": "client"}}}


def paths(pods):
    """Every pair of a client and a server: on one host and across."""
    return [(pods[client], pods[server]) for client in ("a1", "a2") for server in ("b1", "b2")]


def all_reach(pods):
    return [client.reaches(server) for client, server in paths(pods)]


def test_deny_allow_remove(cluster, pods):
    assert all(all_reach(pods))
    cluster.policy("guard", {**SERVERS, "policyTypes": ["Ingress"]})
    cluster.within(2, lambda: not any(all_reach(pods)))
    assert pods["b1"].reaches(pods["a2"])  # nobody isolates clients
    assert all(pods[name].reaches(pods[name]) for name in pods)  # a pod always reaches itself
    allow = {"from": [CLIENTS], "ports": [{"port": PORT}]}
    cluster.policy("guard", {**SERVERS, "ingress": [allow]})
    cluster.within(2, lambda: all(all_reach(pods)))
    cluster.responder.tcp(pods["b2"].inside, 81)
    assert not pods["a1"].reaches(pods["b2"], 81)
    assert not pods["b1"].reaches(pods["b2"])
    cluster.remove("policy-guard")
    cluster.within(2, lambda: pods["b1"].reaches(pods["b2"]) and pods["a1"].reaches(pods["b2"], 81))


def test_egress_is_isolated_and_excepted(cluster, pods):
    cluster.policy("leash", {**CLIENTS, "policyTypes": ["Egress"]})
    cluster.within(2, lambda: not any(all_reach(pods)))
    to = {"to": [{"ipBlock": {"cidr": f"{pods['b2'].address}/32"}}]}
    cluster.policy("leash", {**CLIENTS, "policyTypes": ["Egress"], "egress": [to]})
    cluster.within(2, lambda: all_reach(pods) == [False, True, False, True])


def test_other_namespaces_are_told_apart(cluster, hosts, pods):
    stranger = cluster.attach(hosts[1], "other/a", role="client")
    cluster.policy("own", {**SERVERS, "ingress": [{"from": [CLIENTS]}]})
    cluster.within(2, lambda: not stranger.reaches(pods["b1"]))
    assert all(all_reach(pods))
    both = {"namespaceSelector": {"matchLabels": {"team": "other"}}, **CLIENTS}
    cluster.policy("own", {**SERVERS, "ingress": [{"from": [both]}]})
    cluster.within(2, lambda: stranger.reaches(pods["b1"]))
    assert not any(all_reach(pods))


def test_hosts_reach_their_own_pods_and_no_others_under_deny_all(cluster, hosts, pods):
    cluster.policy("all", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    cluster.within(2, lambda: not any(all_reach(pods)))
    with hosts[0].inside.connect(pods["b1"].address, PORT, timeout_s=1):
        pass


def test_a_new_pod_is_admitted_by_what_is_in_force(cluster, hosts, pods):
    cluster.policy(
        "guard", {**SERVERS, "ingress": [{"from": [{"podSelector": {"matchLabels": {"x": "y"}}}]}]}
    )
    cluster.within(2, lambda: not any(all_reach(pods)))
    late = cluster.attach(hosts[0], "shop/late", x="y")
    assert late.reaches(pods["b1"])  # the same host knows at once
    cluster.within(2, lambda: late.reaches(pods["b2"]))


def test_a_connection_that_is_no_longer_admitted_is_cut_and_no_other(cluster, pods):
    kept = pods["a2"].inside.connect(pods["b1"].address, PORT)
    ended = pods["a1"].inside.connect(pods["b1"].address, PORT)
    for link in (kept, ended):
        link.settimeout(1)
        link.recv(100)
        link.sendall(b"before")
        assert link.recv(100) == b"before"
    only = {"ipBlock": {"cidr": f"{pods['a2'].address}/32"}}
    cluster.policy("guard", {**SERVERS, "ingress": [{"from": [only]}]})
    cluster.within(2, lambda: not pods["a1"].reaches(pods["b1"]))
    kept.sendall(b"after")
    assert kept.recv(100) == b"after"

    def is_cut():
        try:
            ended.sendall(b"after")
            return not ended.recv(100)
        except TimeoutError:
            return True

    cluster.within(2, is_cut)
    kept.close()
    ended.close()


def test_a_policy_that_cannot_be_read_is_closed_and_told(cluster, hosts, pods):
    cluster.policy("odd", {**SERVERS, "ingress": [{"from": [{"fqdn": "example.org"}]}]})
    cluster.within(2, lambda: not any(all_reach(pods)))
    assert (
        "NetworkPolicy shop/odd: spec.ingress[0].from[0]" in hosts[0].ask("status")["problems"][0]
    )
    assert hosts[0].metrics()["romana_refused_objects"] == 1


def test_questions_are_answered(cluster, hosts, pods):
    allow = {"from": [CLIENTS], "ports": [{"port": PORT}]}
    cluster.policy("guard", {**SERVERS, "ingress": [allow]})
    cluster.settle()
    cluster.within(2, lambda: hosts[0].ask("policies"))
    (policy,) = hosts[0].ask("policies", name="shop/guard")
    assert policy["pods_here"] == ["shop/b1"]
    judged = {each["pod"]: each["ingress"] for each in hosts[0].ask("endpoints")}
    assert judged["shop/a1"] is None
    assert judged["shop/b1"]["policies"] == ["shop/guard"]
    question = {"to": "shop/b1", "port": PORT, "protocol": "TCP"}
    assert hosts[0].ask("explain", **question, **{"from": "shop/a2"})["admitted"]
    denied = hosts[0].ask("explain", **question, **{"from": "shop/b2"})
    assert not denied["admitted"]
    assert "shop/guard" in " ".join(denied["lines"])
    routes = {route["to"]: route for route in hosts[0].ask("routes")}
    assert routes["10.112.0.128/25"]["via"] == hosts[1].address
    blocks = {block["block"]: block for block in hosts[0].ask("blocks")}
    assert blocks["10.112.0.0/25"]["here"]
    assert not blocks["10.112.0.128/25"]["here"]
