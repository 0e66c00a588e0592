"""All controllers gone, and this machine's knowledge of the cluster as well: a backup brings it
back, and pods do not notice."""

import json
import shutil

import pytest
from documented import Page

from installer.images import BUSYBOX
from installer.platforms.sandbox.platform import Sandbox

PAGE = Page("operations.md", section="Backup and restore")
pytestmark = PAGE.mark
OBJECTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: kept}}
---
apiVersion: v1
kind: Secret
metadata: {{name: word, namespace: kept}}
stringData: {{word: correct horse}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: closed, namespace: kept}}
spec: {{podSelector: {{}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: patient, namespace: kept}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: "{BUSYBOX}", imagePullPolicy: Never, command: [sleep, "100000"]}}]
"""


def alive(installed):
    """What says that a pod has gone on as it was: its container, and since when that runs."""
    status = json.loads(installed.kubectl("-n", "kept", "get", "pod", "patient", "-o", "json"))
    (container,) = status["status"]["containerStatuses"]
    return status["metadata"]["uid"], container["containerID"], container["state"]


@pytest.fixture
def backed_up(installed, tmp_path):
    """A cluster with something in it, backed up; what comes later is not in the backup."""
    # A backup holds how the cluster was asked for: here, with the smoke test.
    assert installed.sandbox().code == 0
    installed.kubectl("apply", "-f", "-", stdin=OBJECTS)
    ready = ("wait", "--for=condition=Ready", "pod/patient", "--timeout=60s")
    installed.kubectl("-n", "kept", *ready)
    file = tmp_path / "backup.tar.gz"
    told = installed.run("backup", "-o", str(file))
    PAGE.ran("romana-install backup", told.code)
    assert told.code == 0, told.err
    installed.kubectl("-n", "kept", "create", "configmap", "later")
    yield file
    installed.kubectl("delete", "namespace", "kept")


def test_a_damaged_backup_is_refused_and_nothing_is_touched(installed, backed_up, tmp_path):
    content = bytearray(backed_up.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(content)
    told = installed.run("restore", str(damaged), "--yes")
    assert told.code == 1
    assert "damaged" in told.err
    assert "nothing was touched" in told.err
    installed.kubectl("-n", "kept", "get", "configmap", "later")


def test_a_lost_control_plane_comes_back_and_pods_do_not_notice(installed, backed_up):
    before = alive(installed)
    machine = Sandbox().machine(installed.cluster, "controller")
    machine.stop(orderly=False)
    machine.remove()
    shutil.rmtree(installed.state)
    restored = installed.run("restore", str(backed_up), "--yes", "--json")
    assert restored.code == 0, restored.err
    assert all(check["passed"] for check in restored.of("CheckResult"))
    assert {check["where"] for check in restored.of("CheckResult")} >= {"across hosts"}
    assert alive(installed) == before
    get = ("-n", "kept", "get", "-o", "name", "configmap,networkpolicy,secret")
    found = installed.kubectl(*get).split()
    assert "networkpolicy.networking.k8s.io/closed" in found
    assert "configmap/later" not in found
    secret = ("get", "secret", "word", "-o", "go-template={{.data.word | base64decode}}")
    assert installed.kubectl("-n", "kept", *secret) == "correct horse"
    again = installed.sandbox()
    assert again.code == 0
    assert again.results("changed") == {}


def test_a_controller_takes_snapshots_by_itself_which_restore_takes(installed, tmp_path):
    """One that its timer's service has taken, fetched; then one with a byte that is wrong."""
    installed.kubectl("create", "configmap", "earlier")
    script = (
        "systemctl is-active romana-snapshot.timer; systemctl start romana-snapshot;"
        " cd /var/lib/romana/snapshots; stat -c '%a %U' . romana-backup-*.tar.gz | sort -u"
    )
    assert installed.on("controller", script).splitlines() == ["active", "600 root", "700 root"]
    installed.kubectl("delete", "configmap", "earlier")
    fetched = installed.run("backup", "--fetch", "-o", str(tmp_path))
    PAGE.ran("romana-install backup --fetch", fetched.code)
    assert fetched.code == 0, fetched.err
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "verified" in fetched.out

    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(content)
    refused = installed.run("restore", str(damaged), "--yes")
    assert refused.code == 1
    assert "nothing was touched" in refused.err

    quick = ("--set", "cluster.smoke=false")
    restored = installed.run("restore", str(file), "--yes", "--json", *quick)
    assert restored.code == 0, restored.err
    installed.kubectl("delete", "configmap", "earlier")


def test_a_snapshot_that_fails_is_told_by_status(installed):
    """etcd does not answer when one is due."""
    installed.on("controller", "mv /etc/kubernetes/pki/etcd/healthcheck-client.key /root/kept.key")
    installed.on("controller", "systemctl start romana-snapshot", check=False)
    told = json.loads(installed.run("status", "--json").out)["problems"]
    installed.on("controller", "mv /root/kept.key /etc/kubernetes/pki/etcd/healthcheck-client.key")
    assert any("controller: no snapshot of etcd could be taken: " in line for line in told), told
    installed.on("controller", "systemctl start romana-snapshot")
    assert installed.run("status").code == 0
