"""What is collected for someone who is to help: all answers, every gap, no secret."""

import base64
import json
import tarfile
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from installer import pki, support
from installer.cluster import Cluster, Host, Network
from installer.hosts.fake import FakeHost
from installer.support.cleaning import REMOVED, Cleaner
from installer.support.collecting import Collected
from installer.support.questions import API, of_host

PASSWORD = b"correct-horse-battery-staple"


@pytest.fixture
def cluster(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    hosts = (
        Host(name="c1", address=IPv4Address("198.18.0.10"), groups=("controller",)),
        Host(name="n1", address=IPv4Address("198.18.0.11"), groups=("nodes",)),
    )
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    made = Cluster(
        name="c", platform="sandbox", kubernetes="auto", network=network, hosts=hosts, state=state
    )
    pki.ensure(made)
    return made


def keys(cluster):
    """Every private key of the cluster, and what encrypts its secrets."""
    return [path.read_bytes() for path in cluster.state.glob("pki/**/*.key") if path.stat().st_size]


def test_a_secret_is_found_in_every_form(cluster):
    held = [*keys(cluster), PASSWORD]
    cleaner = Cleaner(held)
    for secret in held:
        for form in (secret, base64.b64encode(secret), b"x=" + secret.strip() + b"; y"):
            left = cleaner.text(f"before {form.decode()} after")
            assert secret.decode().split("\n")[-2 if b"\n" in secret else 0][:20] not in left
            assert left.startswith("before ")
            assert left.rstrip().endswith(("after", "; y after"))
    lines = held[0].decode().splitlines()
    assert lines[1] not in cleaner.text(f"a key cut in two: {lines[1]}")
    assert cleaner.text("nothing of account") == "nothing of account"
    assert Cleaner([]).text("nothing known") == "nothing known"


def test_what_people_put_secrets_into_is_left_out_of_objects():
    pod = {
        "metadata": {
            "name": "web",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": '{"password":"hunter2"}',
                "kept": "yes",
            },
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "containers": [
                {
                    "env": [{"name": "PASSWORD", "value": "hunter2"}],
                    "command": ["db", "--password=hunter2"],
                    "args": ["hunter2"],
                    "image": "db:1",
                }
            ]
        },
    }
    cleaned = Cleaner([]).object({"items": [pod]})
    assert "hunter2" not in json.dumps(cleaned).replace('"args": ["hunter2"]', "")
    container = cleaned["items"][0]["spec"]["containers"][0]
    assert container["env"] == [{"name": "PASSWORD", "value": REMOVED}]
    assert container["command"] == ["db", REMOVED]
    assert container["image"] == "db:1"
    assert cleaned["items"][0]["metadata"] == {"name": "web", "annotations": {"kept": "yes"}}


def test_no_question_reads_a_key_and_none_asks_for_secrets(cluster):
    texts = [text for host in cluster.hosts for text in of_host(host).values()]
    assert not [text for text in texts if ".key" in text or ".conf " in text]
    assert not [path for path in API.values() if "secret" in path or "configmap" in path]


def test_answers_and_gaps_are_told_apart(cluster, tmp_path):
    host = FakeHost("c1", tmp_path / "c1")
    (host.root / "bin/dmesg").write_text(f"#!/bin/sh\necho leaked: {PASSWORD.decode()}\n")
    (host.root / "bin/ctr").write_text("#!/bin/sh\necho no containerd >&2; exit 3\n")
    for name in ("dmesg", "ctr"):
        (host.root / "bin" / name).chmod(0o755)
    (host.root / "etc/os-release").write_text("PRETTY_NAME=trusty\n")
    (cluster.state / "pki" / "password").write_bytes(PASSWORD + b"\n")
    (cluster.state / "journal.json").write_text('{"state": "done"}')
    told = []
    collected = support.collect(cluster, {"c1": host}, told.append)
    assert len(host.scripts) == 1
    assert set(of_host(cluster.hosts[0])) == {
        name.removeprefix("hosts/c1/") for name in collected.texts if name.startswith("hosts/")
    }
    assert "PRETTY_NAME=trusty" in collected.texts["hosts/c1/system/release"]
    assert collected.texts["hosts/c1/system/kernel-log"].strip() == f"leaked: {REMOVED}"
    assert "no containerd" in collected.texts["hosts/c1/containers/tasks"]
    assert collected.texts["operator/journal.json"] == '{"state": "done"}'
    assert "hosts/n1: no SSH connection" in collected.gaps
    assert "hosts/c1/containers/tasks: ended with 3" in collected.gaps
    assert [gap for gap in collected.gaps if gap.startswith("api: ")]
    assert [event.text for event in told] == ["collecting from c1"]


def test_a_host_that_is_lost_while_it_is_asked_is_a_gap(cluster, tmp_path):
    host = FakeHost("c1", tmp_path / "c1")
    host.reachable = False
    collected = support.collect(cluster, {"c1": host}, lambda _: None)
    assert "hosts/c1: c1: the connection was lost" in collected.gaps


def test_an_archive_is_whole_and_for_its_owner_or_is_not_there(tmp_path):
    collected = Collected(texts={"api/pods.json": "{}"}, gaps=("hosts/n1: no SSH connection",))
    path = tmp_path / "romana-support-c.tar.gz"
    support.write(collected, path, "c", "2026-11-24 12:00:00")
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        read = {member.name: tar.extractfile(member).read().decode() for member in tar.getmembers()}
    assert read["romana-support-c/api/pods.json"] == "{}"
    assert "hosts/n1: no SSH connection" in read["romana-support-c/README"]
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        support.write(replace(collected, gaps=()), path, "c", "2026-11-24 12:00:01")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
