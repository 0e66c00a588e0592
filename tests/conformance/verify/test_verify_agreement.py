"""Random clusters: the reference evaluator, the compiled form and the symbolic reading of the rules
of both backends agree on every flow, and the proof is silent.

Of nftables it is always the kernel's own print of the table that is read. Of iptables it is the
rules as they were rendered, and for some clusters what the kernel's own tools print of them.

A failure prints the smallest cluster that hypothesis finds, and the seed: `--hypothesis-seed=SEED`
makes it again. `test_verify_agreement_detects.py` shows that they can disagree.
"""

import asyncio
from random import randrange

import pytest
from agreement import compare, proven
from hypothesis import HealthCheck, given, seed, settings
from objects_by_chance import snapshots

from romana.dataplane import xtables
from romana.dataplane.nftables import Settings
from romana.lab.namespaces import Lab

PREFIX = "rt-agree"
FLOWS = 100_000

crowded = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_reference_compiled_form_and_kernel_agree(pytestconfig):
    asked = pytestconfig.getoption("hypothesis_seed")
    chosen = randrange(2**32) if asked is None else int(asked)
    agreed = []
    while sum(agreed) < FLOWS:
        print(f"--hypothesis-seed={chosen}")

        @seed(chosen)
        @settings(crowded, max_examples=50)
        @given(snapshots(fewest=4))
        def agree(snapshot):
            agreed.append(compare(snapshot))

        agree()
        chosen += 1
    print(f"{sum(agreed)} flows in {len(agreed)} clusters")


@settings(crowded, max_examples=12)
@given(snapshots(fewest=4))
def test_the_proof_is_silent(snapshot):
    proven(snapshot)


@pytest.fixture(scope="module")
def host():
    with Lab(PREFIX) as lab:
        yield lab.namespace("host")


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_what_iptables_prints_agrees_too(host, kind):
    (variant,) = [each for each in asyncio.run(xtables.variants()) if each.kind == kind]
    backend = xtables.Backend(variant)

    async def written_and_read(admission):
        await backend.replace(xtables.Renderer(Settings()).render(admission))
        return await backend.read_back()

    def reading(admission):
        return host.inside(lambda: asyncio.run(written_and_read(admission)))

    @settings(crowded, max_examples=5)
    @given(snapshots(fewest=4))
    def agree(snapshot):
        compare(snapshot, {f"iptables ({kind}), read back": reading})

    agree()
    host.inside(lambda: asyncio.run(backend.remove()))
