"""Puts flows to the reference evaluator, to the compiled form, and to the rules of both backends as
they are read symbolically; and tells of the first on which they differ."""

import subprocess
from collections.abc import Iterator
from itertools import product

from objects_by_chance import NODE, OUTSIDE, endpoints_of

from romana.dataplane import nftables, xtables
from romana.dataplane.nftables import Settings
from romana.dataplane.ruleset import creation
from romana.dataplane.xtables.tables import HOOKS
from romana.policy.admission import Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.intervals import contains
from romana.policy.judge import Judge
from romana.policy.space import ANYTHING, at
from romana.verify.forms import Field
from romana.verify.intent import NEW, SYN, Intent, Masquerading
from romana.verify.interpret import Interpreter
from romana.verify.packets import PacketClass
from romana.verify.proof import prove
from romana.verify.reading import table_of

TRAFFIC = [
    *product((6, 17, 132), (0, 1, 53, 78, 79, 80, 81, 82, 83, 443, 65535)),
    (1, 0),
    (47, 0),
]
ELSEWHERE = "eth0"


class Disagreement(AssertionError):
    """Not all say the same."""


def nftables_reading(admission):
    """What the kernel holds, as nft prints it."""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", "nft -f - && nft -j -n list table inet romana"],
        input=creation(nftables.render(admission, Settings())),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def iptables_reading(admission):
    """What would be read back of the rules of iptables and the sets of ipset."""
    tables = xtables.Renderer(Settings()).render(admission)
    return xtables.Listing(
        chains=tables.chains,
        hooks={key: frozenset(HOOKS[key[1]]) for key in tables.chains},
        sets=tables.sets,
    )


READ = {"nftables": nftables_reading, "iptables": iptables_reading}


def compare(snapshot, read=READ):
    """Put all flows of a cluster to all of them.

    Args:
        snapshot: its pods are all on one host.
        read: makes a reading of an Admission, by name.

    Returns:
        How many flows there were.

    Raises:
        Disagreement: over a flow.
    """
    endpoints = endpoints_of(snapshot)
    admission = compile_admission(snapshot, endpoints)
    interpreters = {name: Interpreter(table_of(each(admission))) for name, each in read.items()}
    judge, count = Judge(admission, NODE.addresses), 0
    for source, destination, case, peer in _pairs(endpoints):
        packets = ((peer, peer, ANYTHING),)
        passing = {
            name: at(each.fate(case, packets).accepted, peer) for name, each in interpreters.items()
        }
        for protocol, port in TRAFFIC:
            flow = Flow(source=source, destination=destination, protocol=protocol, port=port)
            said = {
                "the reference": evaluate(snapshot, flow).admitted,
                "the compiled form": judge.verdict(flow).admitted,
                **{name: contains(each, protocol << 16 | port) for name, each in passing.items()},
            }
            if len(set(said.values())) > 1:
                raise Disagreement(f"{flow}: {said}")
            count += 1
    return count


def proven(snapshot):
    """Prove what is read of both backends.

    Raises:
        Disagreement: with the compiled form, in any packet at all.
    """
    admission = compile_admission(snapshot, endpoints_of(snapshot))
    for name, reading in READ.items():
        for step in prove(table_of(reading(admission)), Intent(admission, "rom", Masquerading())):
            if step.findings:
                raise Disagreement(f"{name}: {step.findings[0]}")


def _pairs(endpoints) -> Iterator[tuple]:
    """From pod to pod, and between pods and what is outside: addresses, and the class that the
    packets are of, with the peer's address."""
    homes = {address: each for each in endpoints for address in each.addresses}
    for source, destination in product((*homes, *OUTSIDE), repeat=2):
        first, second = homes.get(source), homes.get(destination)
        if source.version != destination.version or first is second:
            continue
        own = Field.SOURCE if first else Field.DESTINATION
        fixed, peer = (source, destination) if first else (destination, source)
        case = PacketClass(
            path="forward",
            family=source.version,
            from_interface=first.interface if first else ELSEWHERE,
            to_interface=second.interface if second else ELSEWHERE,
            own=own,
            address=int(fixed),
            state=NEW,
            flags=SYN,
        )
        yield source, destination, case, int(peer)
