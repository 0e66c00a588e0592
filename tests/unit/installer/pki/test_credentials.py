"""The cluster's credentials: chains that openssl accepts, idempotence, renewal, restoring."""

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from installer import pki
from installer.cluster import Cluster, Host, Network
from installer.errors import InstallerError
from installer.pki.certificates import LEAF_LIFE, Subject, is_current, issue, new_authority
from installer.pki.identities import leaves

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def cluster(state: Path) -> Cluster:
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
        name="t", platform="static", kubernetes="v1.20.2", network=network, hosts=hosts, state=state
    )


def test_chains_verify_with_openssl(tmp_path: Path) -> None:
    wanted = cluster(tmp_path)
    credentials = pki.ensure(wanted)
    for leaf in leaves(wanted):
        ca, crt = tmp_path / "x-ca.pem", tmp_path / "x.pem"
        ca.write_bytes(credentials.authorities[leaf.authority].certificate)
        crt.write_bytes(credentials.leaf(leaf.host, leaf.name).certificate)
        purposes = ["sslserver"] * leaf.subject.server + ["sslclient"] * leaf.subject.client
        for purpose in purposes:
            command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, crt]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"{leaf}: {done.stderr}"


def test_server_certificate_names_all_ways_to_reach_it(tmp_path: Path) -> None:
    found = x509.load_pem_x509_certificate(
        pki.ensure(cluster(tmp_path), NOW).leaf("c1", "apiserver").certificate
    )
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) >= {
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "c1",
    }
    assert set(map(str, names.get_values_for_type(x509.IPAddress))) == {
        "10.96.0.1",
        "198.18.0.11",
        "127.0.0.1",
    }


def test_second_run_changes_nothing_and_files_are_private(tmp_path: Path) -> None:
    wanted = cluster(tmp_path / "state")
    first = pki.ensure(wanted, NOW)
    again = pki.ensure(wanted, NOW + timedelta(days=200))
    assert again == first
    for path in (tmp_path / "state" / "pki").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_leaf_is_renewed_when_names_change_or_life_runs_out(tmp_path: Path) -> None:
    wanted = cluster(tmp_path)
    first = pki.ensure(wanted, NOW)
    moved = replace(wanted.hosts[1], address=IPv4Address("198.18.0.99"))
    second = pki.ensure(replace(wanted, hosts=(wanted.hosts[0], moved)), NOW)
    changed = {key for key in first.issued if first.issued[key] != second.issued[key]}
    assert changed == {("n1", "kubelet")}
    late = pki.ensure(wanted, NOW + LEAF_LIFE * 0.85)
    assert all(late.issued[key] != first.issued[key] for key in first.issued)
    assert late.authorities == first.authorities


def test_a_kill_at_any_write_is_repaired_by_the_next_run(tmp_path: Path) -> None:
    wanted = cluster(tmp_path)
    pki.ensure(wanted, NOW)
    for name in ("hosts/c1/apiserver.crt", "hosts/c1/apiserver.key", "hosts/n1/agent.crt"):
        (tmp_path / "pki" / name).unlink()
        assert pki.ensure(wanted, NOW) == pki.ensure(wanted, NOW)
    other = pki.ensure(wanted, NOW).leaf("n1", "proxy").key
    (tmp_path / "pki/hosts/c1/apiserver.key").write_bytes(other)
    assert pki.ensure(wanted, NOW).leaf("c1", "apiserver").key != other


def test_a_foreign_authority_key_is_refused(tmp_path: Path) -> None:
    wanted = cluster(tmp_path)
    credentials = pki.ensure(wanted, NOW)
    (tmp_path / "pki/ca.key").write_bytes(credentials.authorities["etcd"].key)
    with pytest.raises(InstallerError, match="do not belong together"):
        pki.ensure(wanted, NOW)


def test_lost_state_is_restored_from_a_controller(tmp_path: Path) -> None:
    before = pki.ensure(cluster(tmp_path / "lost"), NOW)
    held = {name: (tmp_path / "lost/pki" / name).read_bytes() for name in pki.ADOPTABLE}
    wanted = cluster(tmp_path / "new")
    pki.adopt(wanted, held, before.encryption_key)
    after = pki.ensure(wanted, NOW)
    assert after.authorities == before.authorities
    assert after.service_account == before.service_account
    assert after.encryption_key == before.encryption_key
    with pytest.raises(InstallerError, match="already holds"):
        pki.adopt(wanted, held, before.encryption_key)


@pytest.mark.parametrize("fault", ["missing", "mixed"])
def test_restoring_refuses_what_is_no_cluster(tmp_path: Path, fault: str) -> None:
    pki.ensure(cluster(tmp_path / "lost"), NOW)
    held = {name: (tmp_path / "lost/pki" / name).read_bytes() for name in pki.ADOPTABLE}
    if fault == "missing":
        del held["etcd/ca.key"]
    else:
        held["etcd/ca.key"] = held["ca.key"]
    with pytest.raises(InstallerError, match="cannot restore"):
        pki.adopt(cluster(tmp_path / "new"), held, "k")
    assert not pki.exists(cluster(tmp_path / "new"))


def test_expiries_are_sorted_and_complete(tmp_path: Path) -> None:
    wanted = cluster(tmp_path)
    found = pki.expiries(pki.ensure(wanted, NOW))
    assert [expiry.ends for expiry in found] == sorted(expiry.ends for expiry in found)
    assert len(found) == len(list(leaves(wanted))) + 3
    assert found[-1].name.endswith("authority")


def test_no_secret_in_repr(tmp_path: Path) -> None:
    credentials = pki.ensure(cluster(tmp_path), NOW)
    assert "PRIVATE" not in repr(credentials)
    assert credentials.encryption_key not in repr(credentials)


def test_kubeconfig_is_complete(tmp_path: Path) -> None:
    credentials = pki.ensure(cluster(tmp_path), NOW)
    text = pki.kubeconfig(
        cluster="t",
        server="https://127.0.0.1:6443",
        authority=credentials.trusted["kubernetes"],
        user="admin",
        identity=credentials.admin,
    )
    loaded = yaml.safe_load(text)
    assert loaded["current-context"] == "admin@t"
    assert loaded["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"


AUTHORITY = new_authority("a", NOW)
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
SUBJECTS = st.builds(
    Subject,
    common_name=LABELS,
    organization=st.one_of(st.just(""), LABELS),
    dns=st.lists(LABELS, max_size=3, unique=True).map(tuple),
    addresses=st.lists(st.ip_addresses(v=4), max_size=3, unique=True).map(tuple),
    server=st.booleans(),
    client=st.just(True),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(subject=SUBJECTS, other=SUBJECTS, age=st.floats(0, 1))
def test_current_means_same_subject_and_enough_life(
    subject: Subject, other: Subject, age: float
) -> None:
    pair = issue(AUTHORITY, subject, NOW)
    later = NOW + LEAF_LIFE * age
    assert is_current(pair, subject, AUTHORITY, later) == (age < 0.8) or abs(age - 0.8) < 0.001
    same = (set(other.dns), set(other.addresses)) == (set(subject.dns), set(subject.addresses))
    same = same and replace(other, dns=(), addresses=()) == replace(subject, dns=(), addresses=())
    assert is_current(pair, other, AUTHORITY, NOW) == same
