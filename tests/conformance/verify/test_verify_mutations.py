"""Random admissions, rendered, loaded into a namespace made for it, listed, then tampered with: the
proof finds each change that makes a difference to a packet, shows a packet to which it does, and is
silent where none is made.

The judge is a simulator of single packets that reads nft's JSON directly and shares nothing with
the proof.
"""

from __future__ import annotations

import json
import subprocess
from copy import deepcopy
from ipaddress import ip_address, ip_network
from itertools import product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from romana.dataplane.denials import DenialLog
from romana.dataplane.nftables import Settings, render
from romana.dataplane.ruleset import creation
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Flow,
    Grant,
    Program,
)
from romana.policy.judge import Judge
from romana.verify.forms import Field, UnknownForm
from romana.verify.intent import Intent, Masquerading
from romana.verify.nft import parse_table
from romana.verify.proof import prove

PODS = (ip_network("10.112.0.0/28"), ip_network("fd00::/124"))
SETTINGS = Settings(
    pod_networks=PODS,
    direct_networks=(ip_network("198.18.0.11/32"),),
    denial_log=DenialLog(),
)
MASQUERADING = Masquerading(pods=PODS, direct=SETTINGS.direct_networks)
BASE = {4: int(PODS[0][0]), 6: int(PODS[1][0])}
PORTS = (0, 79, 80, 81, 65535)
ANY = (0, 0, 65535)

checked = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def grants(draw):
    """Grants in canonical form: hosts apart from networks, each disjoint."""
    found = []
    for family in (4, 6):
        for host in draw(st.sets(st.integers(0, 9), max_size=3)):
            boxes = draw(st.sampled_from([[ANY], [(6, 80, 80)], [(6, 80, 81), (17, 0, 65535)]]))
            found += [Grant(family, BASE[family] + host, BASE[family] + host, *b) for b in boxes]
        for low, high in draw(st.sampled_from([[], [(2, 5)], [(0, 3), (6, 7)]])):
            box = draw(st.sampled_from([ANY, (6, 79, 80), (132, 0, 65535), (17, 80, 80)]))
            found.append(Grant(family, BASE[family] + low, BASE[family] + high, *box))
    return frozenset(each for each in found if not any(held(each, other) for other in found))


def held(host, network):
    """Whether a longer interval's grant holds a host's whole."""
    return (
        network.low < network.high
        and host.low == host.high
        and host.family == network.family
        and network.low <= host.low <= network.high
        and network.protocol in (0, host.protocol)
        and network.port_low <= host.port_low
        and host.port_high <= network.port_high
    )


@st.composite
def admissions(draw):
    endpoints, programs = {}, {}
    for number in range(draw(st.integers(1, 3))):
        addresses = tuple(network[number + 1] for network in PODS)
        endpoint = Endpoint(
            interface=f"rom{number:012x}", addresses=addresses, pod=("test", f"p{number}")
        )
        names = {}
        for direction in Direction:
            if draw(st.booleans()):
                name = f"{direction.value}{draw(st.integers(0, 1))}"
                if name not in programs:
                    programs[name] = Program(
                        name=name, direction=direction, policies=(), grants=draw(grants())
                    )
                names[direction.value] = name
        endpoints[endpoint.interface] = EndpointPrograms(endpoint=endpoint, **names)
    return Admission(endpoints=endpoints, programs=programs)


def listed(admission):
    """The table as the kernel holds it."""
    command = "nft -f - && nft -j -n list table inet romana"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", command],
        input=creation(render(admission, SETTINGS)),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def findings(listing, admission):
    table = parse_table(json.dumps(listing))
    steps = prove(table, Intent(admission, "rom", MASQUERADING))
    return [finding for step in steps for finding in step.findings]


def number(value):
    return int(ip_address(value)) if isinstance(value, str) else value


def inside(value, asked):
    """Whether a packet's value is what an expression names."""
    if isinstance(asked, list):
        return any(inside(value, each) for each in asked)
    if isinstance(asked, dict) and "range" in asked:
        return number(asked["range"][0]) <= value <= number(asked["range"][1])
    if isinstance(asked, dict) and "prefix" in asked:
        network = ip_network(f"{asked['prefix']['addr']}/{asked['prefix']['len']}")
        return int(network[0]) <= value <= int(network[-1])
    if isinstance(value, str):
        return value.startswith(asked[:-1]) if asked.endswith("*") else value == asked
    return value == number(asked)


def uncounted(key):
    """An element's key, of one that counts as well."""
    return key["elem"]["val"] if isinstance(key, dict) and "elem" in key else key


class Simulator:
    """Follows one packet, a mapping of its fields, through a listing."""

    def __init__(self, listing):
        entries = [each for each in listing["nftables"]]
        self.chains, self.hooks, self.sets = {}, {}, {}
        for entry in entries:
            ((kind, body),) = entry.items()
            if kind == "chain":
                self.chains[body["name"]] = []
                self.hooks[body["name"]] = body.get("hook")
            elif kind == "rule":
                self.chains[body["chain"]].append(body["expr"])
            elif kind in ("set", "map"):
                self.sets[body["name"]] = body.get("elem", [])

    def passes(self, path, packet):
        hooked = [name for name, hook in self.hooks.items() if hook in (path, "postrouting")]
        return all(
            self.chain(name, packet) != "drop"
            for name in hooked
            if path == "forward" or self.hooks[name] == path
        )

    def chain(self, name, packet):
        for statements in self.chains[name]:
            verdict = self.rule(statements, packet)
            if verdict == "return":
                return None
            if verdict and verdict.startswith("goto "):
                return self.chain(verdict[5:], packet)
            if verdict and verdict.startswith("jump "):
                verdict = self.chain(verdict[5:], packet)
            if verdict:
                return verdict
        return None

    def rule(self, statements, packet):
        for statement in statements:
            ((word, body),) = statement.items()
            if word == "match":
                if not self.matches(body, packet):
                    return None
            elif word == "vmap":
                value = self.value(body["key"], packet)
                for key, verdict in self.sets[body["data"][1:]]:
                    if value is not None and self.element(value, key):
                        return self.verdict(verdict)
            elif word not in ("counter", "limit", "log"):
                return self.verdict(statement)
        return None

    def verdict(self, statement):
        ((word, body),) = statement.items()
        return f"{word} {body['target']}" if word in ("jump", "goto") else word

    def matches(self, body, packet):
        left, mask = body["left"], None
        if "&" in left:
            left, mask = left["&"][0], sum(left["&"][1])
        value = self.value(left, packet)
        if value is None:
            return False
        value = value & mask if mask else value
        right = body["right"]
        if isinstance(right, str) and right.startswith("@"):
            found = any(self.element(value, each) for each in self.sets[right[1:]])
        else:
            found = inside(value, right)
        return found is not (body["op"] == "!=")

    def element(self, value, key):
        key = uncounted(key)
        parts = key["concat"] if isinstance(key, dict) and "concat" in key else [key]
        values = value if isinstance(value, tuple) else (value,)
        return all(inside(one, part) for one, part in zip(values, parts, strict=True))

    def value(self, left, packet):
        if "concat" in left:
            values = tuple(self.value(each, packet) for each in left["concat"])
            return None if None in values else values
        ((word, body),) = left.items()
        if word == "payload" and body["protocol"] in ("ip", "ip6"):
            right_family = packet["family"] == (4 if body["protocol"] == "ip" else 6)
            return packet[body["field"]] if right_family else None
        if word == "payload" and body["field"] == "flags":
            return packet["flags"] if packet["l4proto"] == 6 else None
        if word == "payload" and body["field"] == "type":
            found = packet["l4proto"] == 58 and packet["family"] == 6
            return packet["dport"] if found else None
        return packet[body.get("key") or body.get("field")]


def packets(admission, random):
    """Some of the forwarded packets to and from pods, that open connections, at the corners of all
    there is."""
    every = list(_packets(admission))
    return random.sample(every, min(len(every), 400))


def _packets(admission):
    addresses = {4: {0, 2**32 - 1}, 6: {0, 2**128 - 1}}
    for family in (4, 6):
        addresses[family].update(BASE[family] + offset for offset in range(-1, 12))
    endpoints = list(admission.endpoints.values())
    for each in endpoints:
        for own, (protocol, port) in product(
            each.endpoint.addresses, [*product((6, 17, 132), PORTS), (1, 0)]
        ):
            for peer in addresses[own.version]:
                shape = {
                    "family": own.version,
                    "l4proto": protocol,
                    "dport": port,
                    "state": 8,
                    "flags": 2,
                }
                name = each.endpoint.interface
                out = {"iifname": name, "oifname": "eth0", "saddr": int(own), "daddr": peer}
                back = {"iifname": "eth0", "oifname": name, "saddr": peer, "daddr": int(own)}
                yield {**shape, **out}
                yield {**shape, **back}


def wanted(judge, packet):
    make = ip_address
    size = 4 if packet["family"] == 4 else 16
    source, destination = (make(packet[each].to_bytes(size, "big")) for each in ("saddr", "daddr"))
    if source == destination and packet["iifname"] != "eth0":
        return True
    flow = Flow(
        source=source,
        destination=destination,
        protocol=packet["l4proto"],
        port=packet["dport"],
    )
    verdict = judge.verdict(flow)
    side = verdict.egress if packet["iifname"] != "eth0" else verdict.ingress
    if side.outcome.value == "itself":
        program = judge._owners[destination].ingress  # from elsewhere, with the pod's own address
        return program is None or judge._by_program(program, source, flow).admitted
    return side.admitted


def packet_of(finding):
    case, flow = finding.case, finding.flow
    return {
        "family": case.family,
        "iifname": case.from_interface,
        "oifname": case.to_interface,
        "saddr": int(flow.source),
        "daddr": int(flow.destination),
        "l4proto": flow.protocol,
        "dport": flow.port,
        "state": case.state,
        "flags": case.flags,
    }


def tamper(listing, random):
    """One change by hand; what it was."""
    changed = deepcopy(listing)
    entries = changed["nftables"]
    kind = random.choice(("element gone", "element added", "rule gone", "verdict", "rule moved"))
    rules = [index for index, each in enumerate(entries) if "rule" in each]
    sets = [
        each.get("set") or each["map"]
        for each in entries
        if ("set" in each or "map" in each) and (each.get("set") or each["map"]).get("elem")
    ]
    if kind.startswith("element"):
        chosen = random.choice(sets)
        at = random.randrange(len(chosen["elem"]))
        if kind == "element gone":
            return f"{kind} {chosen['name']}: {chosen['elem'].pop(at)}", changed
        element = deepcopy(chosen["elem"][at])
        key = uncounted(element[0] if chosen.get("map") else element)
        parts = key["concat"] if isinstance(key, dict) and "concat" in key else None
        place = next(i for i, t in enumerate(_list(chosen["type"])) if "addr" in t)
        four = "ipv4_addr" in chosen["type"]
        new = "10.112.0.12" if four else "fd00::c"
        if parts is not None:
            parts[place] = new
        elif chosen.get("map"):
            return f"nothing: {key}", listing
        else:
            element = new
        chosen["elem"].append(element)
        return f"{kind} {chosen['name']}: {element}", changed
    at = random.choice(rules)
    rule = entries[at]["rule"]
    text = f"{kind} {rule['chain']}: {json.dumps(rule['expr'])}"
    if kind == "rule gone":
        del entries[at]
    elif kind == "rule moved":
        entries.append(entries.pop(at))
    else:
        last = rule["expr"][-1]
        word = next(iter(last))
        if word not in ("accept", "drop", "return", "goto"):
            return f"nothing: {text}", listing
        rule["expr"][-1] = {"drop": None} if word in ("accept", "return") else {"accept": None}
    return text, changed


def _list(value):
    return value if isinstance(value, list) else [value]


@checked
@given(admissions(), st.integers(0, 2**32))
def test_what_is_rendered_is_proven_equal_and_the_simulator_agrees(admission, seed):
    listing = listed(admission)
    assert findings(listing, admission) == []
    simulator, judge = Simulator(listing), Judge(admission)
    for packet in packets(admission, Random(seed)):
        assert simulator.passes("forward", packet) is wanted(judge, packet), packet


@checked
@given(admissions(), st.integers(0, 2**32))
def test_every_change_that_a_packet_can_tell_is_found_and_each_packet_shown_is_true(
    admission, seed
):
    listing = listed(admission)
    random = Random(seed)
    for _ in range(6):
        what, changed = tamper(listing, random)
        simulator, sound = Simulator(changed), Simulator(listing)
        found = findings(changed, admission)
        noticed = any(
            simulator.passes("forward", packet) is not sound.passes("forward", packet)
            for packet in packets(admission, random)
        )
        assert found or not noticed, what
        for each in found:
            if each.wrong in ("admits", "drops"):
                packet = packet_of(each)
                passes = simulator.passes(each.case.path, packet)
                assert passes is (each.wrong == "admits"), (what, str(each))
                assert sound.passes(each.case.path, packet) is not passes, (what, str(each))


ONE = Admission(
    endpoints={
        "rom000000000001": EndpointPrograms(
            endpoint=Endpoint(
                interface="rom000000000001",
                addresses=(ip_address("10.112.0.1"),),
                pod=("shop", "db"),
            ),
            ingress="p",
        )
    },
    programs={
        "p": Program(
            name="p",
            direction=Direction.INGRESS,
            policies=(("shop", "guard"),),
            grants=frozenset([Grant(4, BASE[4] + 2, BASE[4] + 2, 6, 5432, 5432)]),
        )
    },
)


def edited(listing, name, edit):
    changed = deepcopy(listing)
    for entry in changed["nftables"]:
        body = entry.get("set") or entry.get("map")
        if body and body["name"] == name:
            edit(body)
    return changed


def test_the_smallest_packet_is_named_with_the_side_that_is_wrong():
    listing = listed(ONE)
    closed = edited(listing, "in-p-host-ports4", lambda body: body.update(elem=[]))
    assert [str(each) for each in findings(closed, ONE)] == [
        "kernel drops TCP 10.112.0.2 -> 10.112.0.1:5432 (from eth0 to pod shop/db)"
    ]
    key = {"concat": ["10.112.0.3", 6, {"range": [80, 90]}]}
    opened = edited(listing, "in-p-host-ports4", lambda body: body["elem"].append(key))
    assert [str(each) for each in findings(opened, ONE)] == [
        "kernel admits TCP 10.112.0.3 -> 10.112.0.1:80 (from eth0 to pod shop/db)"
    ]


@pytest.mark.parametrize(
    "rule",
    [
        [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, {"accept": None}],
        [{"limit": {"rate": 1, "per": "second"}}, {"accept": None}],
        [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}],
        [{"queue": None}],
    ],
)
def test_a_rule_that_is_not_understood_is_named_and_nothing_is_proven(rule):
    listing = listed(ONE)
    listing["nftables"].append({"rule": {"chain": "forward", "expr": rule}})
    with pytest.raises(UnknownForm, match="rule in chain forward"):
        findings(listing, ONE)


def test_a_log_changes_nothing():
    listing = listed(ONE)
    log = [{"limit": {"rate": 1, "per": "second"}}, {"log": {"group": 5}}]
    listing["nftables"].append({"rule": {"chain": "deny-ingress", "expr": log}})
    assert findings(listing, ONE) == []


def test_fields_are_named_as_nft_names_them():
    assert Field("iifname") is Field.FROM_INTERFACE
