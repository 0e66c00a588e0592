"""The compiled form: whose address counts, what is closed and shared, what a change costs."""

from ipaddress import ip_address, ip_network

from romana.objects import (
    ContainerPort,
    IPBlock,
    Namespace,
    NetworkPolicy,
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
from romana.policy import grants as grant_table
from romana.policy import traffic
from romana.policy.admission import ANY_PROTOCOL, Direction, Endpoint, Grant
from romana.policy.compile import CLOSED, compile_admission

TCP, UDP = Protocol.TCP, Protocol.UDP
EVERYONE = PodPeer(Selector(), Selector())


def labelled(key, value):
    return Selector((Requirement(key, Operator.IN, (value,)),))


def pod(name, address=None, namespace="x", **fields):
    addresses = () if address is None else (ip_address(address),)
    return Pod(namespace=namespace, name=name, addresses=addresses, **fields)


def endpoint(name, *addresses, namespace="x"):
    return Endpoint(
        interface=f"rom-{namespace}-{name}",
        addresses=tuple(ip_address(each) for each in addresses),
        pod=(namespace, name),
    )


def policy(name="p", ingress=(), egress=None, pods=Selector(), namespace="x"):  # noqa: B008
    return NetworkPolicy(namespace=namespace, name=name, pods=pods, ingress=ingress, egress=egress)


def snapshot(pods, policies, namespaces=("x", "y")):
    named = [Namespace(name, {"ns": name}) for name in namespaces]
    return Snapshot(
        namespaces={each.key: each for each in named},
        pods={each.key: each for each in pods},
        policies={each.key: each for each in policies},
    )


def host(address, protocol=ANY_PROTOCOL, low=0, high=65535):
    number = int(ip_address(address))
    return Grant(ip_address(address).version, number, number, protocol, low, high)


def network(prefix, protocol=ANY_PROTOCOL, low=0, high=65535):
    block = ip_network(prefix)
    ends = (int(block.network_address), int(block.broadcast_address))
    return Grant(block.version, *ends, protocol, low, high)


def only_program(admission):
    (program,) = admission.programs.values()
    return program


def from_peers(*peers, ports=None):
    return (PolicyRule(peers, ports),)


def grants(pods, rules, endpoints=None):
    """Grants of the ingress program of x/a under one policy."""
    world = snapshot(pods, [policy(ingress=rules, pods=labelled("app", "a"))])
    return only_program(compile_admission(world, endpoints or [endpoint("a", "10.0.0.1")])).grants


SUBJECT = pod("a", "10.0.0.1", labels={"app": "a"})


def test_without_policies_nothing_is_judged():
    admission = compile_admission(snapshot([SUBJECT], []), [endpoint("a", "10.0.0.1")])
    (programs,) = admission.endpoints.values()
    assert (programs.ingress, programs.egress) == (None, None)
    assert not admission.programs


def test_endpoint_of_an_unknown_pod_is_closed_both_ways():
    admission = compile_admission(snapshot([], []), [endpoint("a", "10.0.0.1")])
    (programs,) = admission.endpoints.values()
    for direction, name in (
        (Direction.INGRESS, programs.ingress),
        (Direction.EGRESS, programs.egress),
    ):
        assert admission.programs[name] == CLOSED[direction]
        assert not admission.programs[name].grants


def test_endpoint_whose_name_is_now_a_host_network_pod_is_closed():
    world = snapshot([pod("a", "10.9.0.1", host_network=True)], [])
    (programs,) = compile_admission(world, [endpoint("a", "10.0.0.1")]).endpoints.values()
    assert programs.ingress == CLOSED[Direction.INGRESS].name


def test_local_peer_counts_with_its_lease_before_its_status_says_so():
    pods = [SUBJECT, pod("new")]
    endpoints = [endpoint("a", "10.0.0.1"), endpoint("new", "10.0.0.7")]
    world = snapshot(pods, [policy(ingress=from_peers(EVERYONE), pods=labelled("app", "a"))])
    found = only_program(compile_admission(world, endpoints)).grants
    assert found == {host("10.0.0.1"), host("10.0.0.7")}


def test_leased_address_is_nobody_elses_whatever_a_late_status_says():
    pods = [SUBJECT, pod("gone", "10.0.0.7"), pod("new", namespace="y")]
    endpoints = [endpoint("a", "10.0.0.1"), endpoint("new", "10.0.0.7", namespace="y")]
    own_namespace = from_peers(PodPeer(Selector()))
    assert grants(pods, own_namespace, endpoints) == {host("10.0.0.1")}


def test_finished_and_host_network_peers_have_no_address_to_admit():
    pods = [SUBJECT, pod("done"), pod("agent", "192.0.2.9", host_network=True)]
    assert grants(pods, from_peers(EVERYONE)) == {host("10.0.0.1")}


def test_unknown_namespace_is_matched_by_the_empty_selector_only():
    pods = [SUBJECT, pod("b", "10.0.0.2", namespace="new")]
    negative = Selector((Requirement("ns", Operator.NOT_IN, ("x",)),))
    assert grants(pods, from_peers(PodPeer(Selector(), negative))) == frozenset()
    assert host("10.0.0.2") in grants(pods, from_peers(EVERYONE))


def test_neighbouring_pods_stay_single_and_neighbouring_blocks_merge():
    pods = [SUBJECT, pod("b", "10.0.0.2"), pod("c", "10.0.0.3")]
    assert grants(pods, from_peers(EVERYONE)) == {host(f"10.0.0.{n}") for n in (1, 2, 3)}
    blocks = [IPBlock(ip_network(each)) for each in ("192.0.2.0/25", "192.0.2.128/25")]
    assert grants(pods, from_peers(*blocks)) == {network("192.0.2.0/24")}


def test_exception_is_cut_out():
    block = IPBlock(ip_network("10.1.0.0/16"), (ip_network("10.1.0.0/17"),))
    assert grants([SUBJECT], from_peers(block)) == {network("10.1.128.0/17")}


def test_block_that_excludes_itself_admits_nothing():
    block = IPBlock(ip_network("10.1.0.0/16"), (ip_network("10.1.0.0/16"),))
    assert grants([SUBJECT], from_peers(block)) == frozenset()


def test_block_of_one_address_is_a_host_and_merges_with_the_pod_there():
    rules = (
        PolicyRule((IPBlock(ip_network("10.0.0.2/32")),), (PortMatch(TCP, 81),)),
        PolicyRule((EVERYONE,), (PortMatch(TCP, 80),)),
    )
    pods = [SUBJECT, pod("b", "10.0.0.2")]
    assert grants(pods, rules) == {host("10.0.0.1", 6, 80, 80), host("10.0.0.2", 6, 80, 81)}


def test_host_within_a_network_is_left_out_only_where_nothing_is_lost():
    rules = (
        PolicyRule((IPBlock(ip_network("10.0.0.0/24")),), (PortMatch(TCP, 80),)),
        PolicyRule((EVERYONE,), (PortMatch(TCP, 80), PortMatch(UDP, 53))),
    )
    assert grants([SUBJECT], rules) == {
        network("10.0.0.0/24", 6, 80, 80),
        host("10.0.0.1", 17, 53, 53),
    }


def test_every_protocol_swallows_single_ones_and_ports_merge():
    block = IPBlock(ip_network("192.0.2.0/24"))
    ports = (PortMatch(TCP, 80), PortMatch(TCP, 81, 90), PortMatch(TCP, 85, 99))
    assert grants([SUBJECT], from_peers(block, EVERYONE, ports=ports)) == {
        network("192.0.2.0/24", 6, 80, 99),
        host("10.0.0.1", 6, 80, 99),
    }
    both = (*from_peers(block, EVERYONE, ports=ports), *from_peers(block, EVERYONE))
    assert grants([SUBJECT], both) == {network("192.0.2.0/24"), host("10.0.0.1")}


def test_every_peer_is_every_address_of_both_families():
    found = grants([SUBJECT], (PolicyRule(None, (PortMatch(TCP, 80),)),))
    assert found == {network("0.0.0.0/0", 6, 80, 80), network("::/0", 6, 80, 80)}


def test_one_more_prefix_leaves_the_other_grants_of_a_port_range_alone():
    many = [IPBlock(ip_network(f"10.{n}.0.0/24")) for n in range(1, 200)]
    before = from_peers(*many, ports=(PortMatch(TCP, 1, 65535),))
    after = (*before, PolicyRule((IPBlock(ip_network("192.0.2.0/24")),), (PortMatch(TCP, 443),)))
    changed = grants([SUBJECT], before) ^ grants([SUBJECT], after)
    assert changed == {network("192.0.2.0/24", 6, 443, 443)}


def test_endpoints_share_a_program_unless_their_named_ports_differ():
    web = [ContainerPort("web", number) for number in (80, 80, 8080)]
    pods = [pod(f"p{n}", f"10.0.0.{n}", ports=(port,)) for n, port in enumerate(web, 1)]
    endpoints = [endpoint(f"p{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    world = snapshot(pods, [policy(ingress=(PolicyRule(None, (PortMatch(TCP, "web"),)),))])
    admission = compile_admission(world, endpoints)
    first, second, third = (admission.endpoints[each.interface].ingress for each in endpoints)
    assert first == second != third
    assert {grant.port_low for grant in admission.programs[third].grants} == {8080}


def test_name_of_several_containers_stands_for_each_of_their_ports():
    subject = pod(
        "a", labels={"app": "a"}, ports=(ContainerPort("web", 80), ContainerPort("web", 90))
    )
    found = grants([subject], (PolicyRule(None, (PortMatch(TCP, "web"),)),))
    assert {grant.port_low for grant in found} == {80, 90}


def test_program_keeps_its_name_while_its_policies_do():
    def compiled(rules, pods=(SUBJECT,), **change):
        world = snapshot(pods, [policy(ingress=rules, **change)])
        return only_program(compile_admission(world, [endpoint("a", "10.0.0.1")]))

    first = compiled(from_peers(EVERYONE))
    more_pods = compiled(from_peers(EVERYONE), pods=(SUBJECT, pod("b", "10.0.0.2")))
    other_rules = compiled(())
    assert first.name == more_pods.name == other_rules.name
    assert more_pods.grants - first.grants == {host("10.0.0.2")}
    assert compiled((), name="q").name != first.name


def test_programs_of_the_two_directions_have_names_of_their_own():
    world = snapshot([SUBJECT], [policy(ingress=(), egress=())])
    (programs,) = compile_admission(world, [endpoint("a", "10.0.0.1")]).endpoints.values()
    assert programs.ingress != programs.egress


def test_program_lists_its_policies_in_order():
    world = snapshot([SUBJECT], [policy("b"), policy("a"), policy("c", pods=labelled("app", "z"))])
    admission = compile_admission(world, [endpoint("a", "10.0.0.1")])
    assert only_program(admission).policies == (("x", "a"), ("x", "b"))


def test_five_thousand_policies_and_ten_thousand_pods_share_few_programs():
    spaces = [f"ns{n}" for n in range(100)]
    pods = [
        Pod(
            namespace=spaces[n % 100],
            name=f"p{n}",
            labels={"app": f"a{n // 100 % 20}"},
            addresses=(ip_address(0x0A000000 + n),),
        )
        for n in range(10_000)
    ]
    policies = [
        policy(
            f"np{n}",
            from_peers(
                PodPeer(labelled("app", f"a{n % 20}"), Selector()),
                ports=(PortMatch(TCP, n % 90 + 1),),
            ),
            pods=labelled("app", f"a{n // 100 % 20}"),
            namespace=spaces[n % 100],
        )
        for n in range(5_000)
    ]
    world = snapshot(pods, policies, spaces)
    endpoints = [
        Endpoint(interface=each.name, addresses=each.addresses, pod=each.key)
        for each in pods[:10_000:7][:100]
    ]
    admission = compile_admission(world, endpoints)
    assert len(admission.programs) <= len(endpoints)
    assert all(each.ingress for each in admission.endpoints.values())


def test_the_work_for_a_pod_of_many_policies_grows_with_their_number_not_its_square(monkeypatch):
    count, looked_at = 500, []
    original = traffic.traffic_of

    def counted(boxes):
        found = tuple(boxes)
        looked_at.extend(found)
        return original(found)

    monkeypatch.setattr(traffic, "traffic_of", counted)
    monkeypatch.setattr(grant_table, "traffic_of", counted)
    found = [
        NetworkPolicy(
            namespace="x",
            name=f"policy{number}",
            ingress=(PolicyRule((EVERYONE,), (PortMatch(port=1000 + 2 * number),)),),
        )
        for number in range(count)
    ]
    snapshot = Snapshot(
        pods={each.key: each for each in (pod("here", "10.0.0.1"), pod("one", "10.0.0.2"))},
        policies={each.key: each for each in found},
    )
    admission = compile_admission(snapshot, [endpoint("here", "10.0.0.1")])
    (program,) = admission.programs.values()
    assert len(program.grants) == 2 * count
    assert len(looked_at) <= 4 * count
