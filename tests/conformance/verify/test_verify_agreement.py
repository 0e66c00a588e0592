"""Random clusters: the reference evaluator, the compiled form and the symbolic reading of what the
kernel holds agree on every flow; and the proof is silent."""

from __future__ import annotations

import subprocess
from itertools import product
from random import Random

import pytest

from romana.conformance.manifests import step_manifests
from romana.conformance.worlds import Shape, Worlds, snapshot, step_of
from romana.dataplane.nftables import Settings, render
from romana.dataplane.ruleset import creation
from romana.policy.admission import Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.intervals import contains
from romana.policy.judge import Judge
from romana.policy.space import ANYTHING, at
from romana.verify.forms import Field
from romana.verify.intent import NEW, SYN, Intent, Masquerading
from romana.verify.interpret import Interpreter
from romana.verify.nft import parse_table
from romana.verify.packets import PacketClass
from romana.verify.proof import prove

WORLDS = 60
TRAFFIC = [
    *product((6, 17, 132), (0, 1, 53, 78, 79, 80, 81, 82, 83, 443, 65535)),
    (1, 0),
    (47, 0),
]
AGREED = []


def listed(admission):
    """What the kernel holds, as nft prints it."""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", "nft -f - && nft -j -n list table inet romana"],
        input=creation(render(admission, Settings())),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def passing(interpreter, first, second):
    """The traffic that the kernel lets pass from one endpoint to another."""
    source, destination = first.addresses[0], second.addresses[0]
    case = PacketClass(
        path="forward",
        family=source.version,
        from_interface=first.interface,
        to_interface=second.interface,
        own=Field.SOURCE,
        address=int(source),
        state=NEW,
        flags=SYN,
    )
    packets = ((int(destination), int(destination), ANYTHING),)
    return at(interpreter.fate(case, packets).accepted, int(destination))


@pytest.mark.parametrize("seed", range(WORLDS))
def test_reference_compiled_form_and_kernel_agree(seed):
    worlds = Worlds(Random(seed), Shape(pods=8, policies=8, family=4 if seed % 3 else 6))
    world = worlds.after(worlds.first())
    objects = snapshot(step_manifests(step_of(world, worlds.placement), worlds.placement))
    endpoints = [
        Endpoint(interface=f"rom{number:012x}", addresses=pod.addresses, pod=pod.key)
        for number, pod in enumerate(objects.pods.values())
    ]
    admission = compile_admission(objects, endpoints)
    table = parse_table(listed(admission))
    intent = Intent(admission, "rom", Masquerading())
    assert [each for step in prove(table, intent) for each in step.findings] == []
    interpreter, judge = Interpreter(table), Judge(admission)
    for first, second in product(endpoints, repeat=2):
        if first is second:
            continue
        kernel = passing(interpreter, first, second)
        for protocol, port in TRAFFIC:
            flow = Flow(
                source=first.addresses[0],
                destination=second.addresses[0],
                protocol=protocol,
                port=port,
            )
            wanted = evaluate(objects, flow).admitted
            assert judge.verdict(flow).admitted is wanted, (seed, flow)
            assert contains(kernel, protocol << 16 | port) is wanted, (seed, flow)
            AGREED.append(seed)


def test_they_agreed_on_so_many_flows():
    assert not AGREED or len(set(AGREED)) < WORLDS or len(AGREED) >= 100_000
