"""An interpreter of the lines of iptables-restore and ipset, and random admissions and packets."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import count

from romana.dataplane.xtables.change import Found, replacement
from romana.dataplane.xtables.sets import set_name
from romana.policy.admission import (
    ANY_PROTOCOL,
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
BASE = {4: int(ip_address("10.112.0.0")), 6: int(ip_address("fd00:112::"))}
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp", 58: "ipv6-icmp"}
PORTS = (1, 80, 81, 8000)
SLICES = 3
"""Of four addresses each; there are few of everything, so that it meets."""


@dataclass(frozen=True, kw_only=True)
class Packet:
    iif: str = "eth0"
    oif: str = "eth0"
    src: str
    dst: str
    protocol: int = 6
    port: int = 80
    state: str = "NEW"
    opens: bool = True
    hook: str = "ROMANA-FORWARD"

    @property
    def family(self):
        return ip_address(self.src).version


class Kernel:
    """Sets by name, chains by family: what the tools' lines make of them."""

    def __init__(self):
        self.sets = {}
        self.chains = {4: {}, 6: {}}

    def ipset(self, line, exist=False):
        verb, name, *rest = line.split()
        if verb == "create":
            assert name not in self.sets
            self.sets[name] = set()
        elif verb == "destroy":
            rules = (
                rule for each in self.chains.values() for rules in each.values() for rule in rules
            )
            assert not any(f"--match-set {name} " in rule for rule in rules), "in use"
            del self.sets[name]
        elif verb == "add":
            assert exist or rest[0] not in self.sets[name]
            self.sets[name].add(rest[0])
        else:
            assert exist or rest[0] in self.sets[name]
            self.sets[name].discard(rest[0])

    def iptables(self, family, text):
        """What `iptables-restore --noflush` makes of a text; of one table only, `mangle`."""
        chains = dict(self.chains[family])
        mangle = text.partition("*mangle\n")[2].partition("COMMIT\n")[0]
        for line in mangle.splitlines():
            verb, _, rest = line.partition(" ")
            if verb.startswith(":"):
                chains[verb[1:]] = ()
            elif verb == "-A":
                chain, _, rule = rest.partition(" ")
                chains[chain] = (*chains[chain], rule)
            elif verb == "-X":
                assert chains.pop(rest) == ()
        for rule in (rule for rules in chains.values() for rule in rules):
            target = target_of(rule)[1]
            assert (
                not target or target in chains or target in ("ACCEPT", "DROP", "RETURN", "NFLOG")
            ), rule
            assert all(name in self.sets for name in re.findall(r"--match-set (\S+)", rule))
        self.chains[family] = chains

    def verdict(self, packet):
        """The verdict, and how many rules it took, the hook's among them."""
        chains = self.chains[packet.family]
        stack, met = [(packet.hook, 0)], 1
        while stack:
            chain, at = stack.pop()
            if at == len(chains[chain]):
                continue
            rule, met = chains[chain][at], met + 1
            way, target = target_of(rule)
            if target in ("", "NFLOG") or not self.matches(rule.split(), packet):
                stack.append((chain, at + 1))
                continue
            if target in ("ACCEPT", "DROP"):
                return target, met
            if way == "-j" and target != "RETURN":
                stack.append((chain, at + 1))
            if target != "RETURN":
                stack.append((target, 0))
        return "ACCEPT", met

    def matches(self, words, packet):
        words, found = list(words[:-2]), []
        while words:
            word = words.pop(0)
            negated = word == "!"
            word = words.pop(0) if negated else word
            if word == "-m":
                words.pop(0)
                continue
            if word == "--match-set":
                result = self.contains(words.pop(0), words.pop(0).split(","), packet)
            elif word == "--tcp-flags":
                del words[:2]
                result = packet.opens
            else:
                result = self.option(word, words.pop(0), packet)
            found.append(result != negated)
        return all(found)

    @staticmethod
    def option(word, value, packet):
        if word in ("-s", "-d"):
            address = packet.src if word == "-s" else packet.dst
            return ip_address(address) in ip_network(value)
        if word in ("-i", "-o"):
            name = packet.iif if word == "-i" else packet.oif
            return name.startswith(value[:-1]) if value.endswith("+") else name == value
        if word == "-p":
            return PROTOCOLS.get(packet.protocol) == value
        if word == "--ctstate":
            return packet.state in value.split(",")
        if word == "--icmpv6-type":
            return packet.port == int(value)
        assert word == "--dports"
        low, _, high = value.partition(":")
        return int(low) <= packet.port <= int(high or low)

    def contains(self, name, directions, packet):
        address = int(ip_address(packet.src if directions[0] == "src" else packet.dst))
        for element in self.sets[name]:
            peers, _, service = element.partition(",")
            network = ip_network(peers)
            low = int(network.network_address)
            if not low <= address < low + network.num_addresses:
                continue
            if len(directions) == 1 and not service:
                return True
            if service == f"{PROTOCOLS.get(packet.protocol)}:{packet.port}":
                return True
        return False


def target_of(rule):
    """How a rule goes on, and where; twice nothing for one that only looks up."""
    words = rule.split()
    for way in ("-j", "-g"):
        if way in words:
            return way, words[words.index(way) + 1]
    return "", ""


def loaded(tables):
    """A kernel that holds tables, and what a difference must know of it."""
    kernel, naming = Kernel(), numbered()
    change = replacement({key: Found() for key in tables.chains}, frozenset(), tables, naming)
    for line in change.sets:
        kernel.ipset(line)
    for family, text in change.rules.items():
        kernel.iptables(family, text)
    return kernel, change.result, naming


def numbered():
    serial = count(1)
    return lambda key: set_name(key, next(serial))


def admits(admission, program, peer, packet):
    """Whether a program, if there is one, admits a packet to or from a peer."""
    return program is None or any(
        each.family == packet.family
        and each.low <= int(ip_address(peer)) <= each.high
        and each.protocol in (ANY_PROTOCOL, packet.protocol)
        and each.port_low <= packet.port <= each.port_high
        for each in admission.programs[program].grants
    )


def expected(admission, packet):
    """The verdict, from the admission itself."""
    if packet.state in ("ESTABLISHED", "RELATED"):
        return "ACCEPT"
    from_pod = packet.iif.startswith("rom")
    to_pod = packet.oif.startswith("rom") and packet.hook == "ROMANA-FORWARD"
    broken = packet.state == "INVALID" or (packet.protocol == 6 and not packet.opens)
    if (from_pod or to_pod) and broken:
        return "DROP"
    if from_pod:
        programs = endpoint(admission, packet.iif, packet.src)
        if programs and packet.src == packet.dst:
            return "ACCEPT"
        if not programs or not admits(admission, programs.egress, packet.dst, packet):
            return "DROP"
    if to_pod:
        programs = endpoint(admission, packet.oif, packet.dst)
        if not programs or not admits(admission, programs.ingress, packet.src, packet):
            return "DROP"
    return "ACCEPT"


def endpoint(admission, interface, address):
    """The programs of an endpoint with this interface and address."""
    found = admission.endpoints.get(interface)
    return found if found and ip_address(address) in found.endpoint.addresses else None


def random_grants(chance):
    for family in (4, 6):
        for at in chance.sample(range(SLICES), chance.randrange(SLICES + 1)):
            low = BASE[family] + at * 4 + chance.randrange(4)
            high = low + chance.choice((0, 0, BASE[family] + at * 4 + 3 - low))
            protocol = chance.choice((ANY_PROTOCOL, 6, 6, 6, 17, 132))
            if protocol == ANY_PROTOCOL or chance.random() < 0.2:
                yield Grant(family, low, high, protocol, 0, 65535)
                continue
            ports = sorted((chance.choice(PORTS), chance.choice(PORTS)))
            yield Grant(family, low, high, protocol, *ports)
        if chance.random() < 0.3:
            top = 2 ** (32 if family == 4 else 128) - 1
            yield Grant(family, 0, top, 6, *chance.choice(((80, 80), (79, 8000), (0, 65535))))


def random_admission(chance):
    programs = {
        f"p{at}": Program(
            name=f"p{at}",
            direction=(INGRESS, EGRESS)[at % 2],
            policies=(),
            grants=frozenset(random_grants(chance)),
        )
        for at in chance.sample(range(4), chance.randrange(5))
    }
    endpoints = {}
    for at in chance.sample(range(SLICES * 4), chance.randrange(SLICES * 4)):
        addresses = tuple(ip_address(BASE[family] + at) for family in (4, 6))
        made = Endpoint(interface=f"rom{at:012x}", addresses=addresses, pod=("t", str(at)))
        endpoints[made.interface] = programmed(chance, made, programs)
    return Admission(endpoints=endpoints, programs=programs)


def random_packet(chance, admission):
    """Mostly one that a pod known to the admission sends or receives."""
    family = chance.choice((4, 6))
    known = [int(name[3:], 16) for name in admission.endpoints] or [0]
    ends = [chance.choice(known), chance.randrange(SLICES * 4)]
    names = [f"rom{ends[0]:012x}", "eth0"]
    if chance.random() < 0.2:
        names[1] = f"rom{ends[1]:012x}"
    addresses = [str(ip_address(BASE[family] + each)) for each in ends]
    if chance.random() < 0.1:
        addresses[chance.randrange(2)] = str(ip_address(BASE[family] + 4711))
    inbound = chance.random() < 0.5
    if inbound:
        names.reverse()
        addresses.reverse()
    return Packet(
        iif=names[0],
        oif=names[1],
        src=addresses[0],
        dst=addresses[1],
        protocol=chance.choice((6, 6, 17, 132)),
        port=chance.choice(PORTS),
        state=chance.choice(("NEW",) * 18 + ("ESTABLISHED", "INVALID")),
        opens=chance.random() < 0.95,
        hook="ROMANA-FORWARD" if inbound or chance.random() < 0.8 else "ROMANA-INPUT",
    )


def changed(chance, old):
    """An admission near to another: some programs with a few grants more or less, some endpoints
    with other programs, some new or gone."""
    new = random_admission(chance)
    kept = {name: each for name, each in old.programs.items() if chance.random() < 0.8}
    programs = {**new.programs, **{name: _varied(chance, each) for name, each in kept.items()}}
    endpoints = {name: each for name, each in old.endpoints.items() if chance.random() < 0.8}
    found = {
        name: each if chance.random() < 0.5 else programmed(chance, each.endpoint, programs)
        for name, each in {**new.endpoints, **endpoints}.items()
    }
    sound = {
        name: EndpointPrograms(
            endpoint=each.endpoint,
            ingress=each.ingress if each.ingress in programs else None,
            egress=each.egress if each.egress in programs else None,
        )
        for name, each in found.items()
    }
    return Admission(endpoints=sound, programs=programs)


def programmed(chance, endpoint, programs):
    """An endpoint with any of the programs."""
    into, out = (
        [None, *(name for name, each in programs.items() if each.direction is direction)]
        for direction in (INGRESS, EGRESS)
    )
    return EndpointPrograms(
        endpoint=endpoint, ingress=chance.choice(into), egress=chance.choice(out)
    )


def _varied(chance, program):
    grants = set(chance.sample(sorted(program.grants), chance.randrange(len(program.grants) + 1)))
    if chance.random() < 0.6:
        grants |= set(random_grants(chance))
    return Program(
        name=program.name, direction=program.direction, policies=(), grants=frozenset(grants)
    )
