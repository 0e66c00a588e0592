"""Rotation of authorities as files: who is trusted and who issues in each stage, and that a kill
between any two writes is continued."""

import contextlib
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer import pki
from installer.cluster import Cluster, Host, Network
from installer.errors import InstallerError
from installer.pki import rotation
from installer.pki.certificates import AUTHORITY_LIFE, public_key
from installer.pki.identities import leaves
from installer.pki.rotation import STAGES, steps
from installer.pki.store import Directory

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    hosts = (
        Host(name="c1", address=IPv4Address("198.18.0.11"), groups=("controller",)),
        Host(name="n1", address=IPv4Address("198.18.0.12"), groups=("nodes",)),
    )
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    return Cluster(
        name="t",
        platform="static",
        kubernetes="v1.20.2",
        network=network,
        hosts=hosts,
        state=tmp_path,
    )


def accepts(cluster: Cluster, old: pki.Credentials, new: pki.Credentials) -> bool:
    """Whether a host that holds one set believes every leaf of the other, by openssl's word."""
    for leaf in leaves(cluster):
        trust, crt = cluster.state / "x-ca.pem", cluster.state / "x.pem"
        trust.write_bytes(old.trusted[leaf.authority])
        crt.write_bytes(new.leaf(leaf.host, leaf.name).certificate)
        command = ["openssl", "verify", "-CAfile", trust, crt]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return False
    return True


def test_any_two_stages_that_follow_each_other_believe_each_other(cluster: Cluster) -> None:
    """Hosts change one after the other; at every moment some are a stage ahead."""
    store = pki.directory(cluster)
    held = [pki.ensure(cluster, NOW)]
    for stage in STAGES:
        rotation.enter(store, stage, NOW)
        held.append(pki.ensure(cluster, NOW))
    rotation.end(store)
    held.append(pki.ensure(cluster, NOW))
    for before, after in zip(held, held[1:], strict=False):
        assert accepts(cluster, before, after)
        assert accepts(cluster, after, before)
    assert not accepts(cluster, held[0], held[-1])
    assert not accepts(cluster, held[-1], held[0])
    assert [each.stage for each in held] == ["", *STAGES, ""]
    assert [each.old_tokens for each in held] == [False, False, True, True, True]
    assert not list((cluster.state / "pki/rotation").rglob("*.key"))
    assert held[-1].authorities == held[-2].authorities
    assert held[-1].issued == held[-2].issued


def test_tokens_are_accepted_before_they_are_signed_and_for_a_day_after(cluster: Cluster) -> None:
    store = pki.directory(cluster)
    old = public_key(pki.ensure(cluster, NOW).service_account.key)
    rotation.enter(store, "trusting", NOW)
    trusting = pki.ensure(cluster, NOW).service_account
    rotation.enter(store, "issuing", NOW)
    issuing = pki.ensure(cluster, NOW).service_account
    assert public_key(trusting.key) == old
    assert issuing.key != trusting.key
    for each in (trusting, issuing):
        assert old in each.certificate
        assert public_key(issuing.key) in each.certificate
    rotation.enter(store, "distrusting", NOW)
    rotation.end(store)
    for hours, accepted in ((23, True), (25, False)):
        later = pki.ensure(cluster, NOW + timedelta(hours=hours))
        assert (old in later.service_account.certificate) == accepted == later.old_tokens


class Killed(Exception):  # noqa: N818
    """The process ends here."""


class Dying(Directory):
    """A directory in which only so many files can be written or removed."""

    __slots__ = ("left",)

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        object.__setattr__(self, "left", left)

    def _count(self) -> None:
        if self.left == 0:
            raise Killed
        object.__setattr__(self, "left", self.left - 1)

    def write(self, name: str, content: bytes) -> None:
        self._count()
        super().write(name, content)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)


@pytest.mark.parametrize("allowed", range(0, 50, 3))
def test_a_kill_after_any_write_is_continued(cluster: Cluster, allowed: int) -> None:
    """Whatever was being written or removed when it ended: entering the stage again leads where it
    would have led, and authorities and their keys belong together."""
    store = pki.directory(cluster)
    first = pki.ensure(cluster, NOW)
    with contextlib.suppress(Killed):
        dying = Dying(store.path, allowed)
        for stage in STAGES:
            rotation.enter(dying, stage, NOW)
            rotation.settle(dying)
        rotation.end(dying)
    reached = rotation.read_stage(store)
    between = pki.ensure(cluster, NOW)
    assert between.stage == reached
    for stage in steps(reached, "distrusting", ended=False):
        if stage != reached:
            rotation.enter(store, stage, NOW)
        after = pki.ensure(cluster, NOW)
        assert accepts(cluster, after, between)
        assert accepts(cluster, between, after)
        between = after
    rotation.end(store)
    last = pki.ensure(cluster, NOW)
    for name, before in first.authorities.items():
        assert last.authorities[name].key != before.key
        assert last.trusted[name] == last.authorities[name].certificate
    assert public_key(first.service_account.key) in last.service_account.certificate


def test_an_authority_that_has_ended_is_told_and_replaced_in_one_step(cluster: Cluster) -> None:
    pki.ensure(cluster, NOW - AUTHORITY_LIFE - timedelta(days=1))
    with pytest.raises(InstallerError, match=r"the authority ca\.crt has ended on") as told:
        pki.ensure(cluster, NOW)
    assert "rotate-ca" in told.value.advice
    store = pki.directory(cluster)
    assert rotation.ended(store, NOW)
    for stage in steps("", "distrusting", ended=True):
        rotation.enter(store, stage, NOW)
    after = pki.ensure(cluster, NOW)
    assert not rotation.ended(store, NOW)
    assert accepts(cluster, after, after)


@pytest.mark.parametrize(
    ("stage", "until", "ended", "wanted"),
    [
        ("", "distrusting", False, STAGES),
        ("", "trusting", False, STAGES[:1]),
        ("trusting", "distrusting", False, STAGES),
        ("issuing", "distrusting", False, STAGES[1:]),
        ("issuing", "trusting", False, ()),
        ("distrusting", "distrusting", False, STAGES[2:]),
        ("", "distrusting", True, STAGES[2:]),
        ("trusting", "distrusting", True, STAGES[2:]),
        ("issuing", "distrusting", True, STAGES[1:]),
    ],
)
def test_the_stages_that_are_left(
    stage: rotation.Stage, until: rotation.Stage, ended: bool, wanted: tuple[str, ...]
) -> None:
    assert steps(stage, until, ended=ended) == wanted


def test_state_that_is_lost_in_the_midst_is_taken_from_a_controller(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Its certificate's file holds two then; the first is the one that issues."""
    store = pki.directory(cluster)
    pki.ensure(cluster, NOW)
    rotation.enter(store, "trusting", NOW)
    held = pki.ensure(cluster, NOW)
    files = {name: (tmp_path / "pki" / name).read_bytes() for name in pki.ADOPTABLE}
    for name, path in (
        ("kubernetes", "ca"),
        ("etcd", "etcd/ca"),
        ("front-proxy", "front-proxy-ca"),
    ):
        files[f"{path}.crt"] = held.trusted[name]  # type: ignore[index]
    other = replace(cluster, state=tmp_path / "other")
    pki.adopt(other, files, held.encryption_key)
    adopted = pki.ensure(other, NOW)
    assert adopted.authorities == held.authorities
    assert adopted.stage == ""
    assert accepts(cluster, held, adopted)
    assert accepts(cluster, adopted, held)
