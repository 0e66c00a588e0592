"""Certificates that have ended on hosts: the next run, which cannot ask an API that nobody can
reach, says so and lays down others."""

import base64
import json
from datetime import datetime, timezone

import pytest
from documented import Page

from installer.pki import Pair, ensure
from installer.pki.certificates import LEAF_LIFE, issue
from installer.pki.identities import leaves
from installer.pki.kubeconfig import kubeconfig

PAGE = Page("operations.md", section="Certificates")
pytestmark = PAGE.mark
PLACES = {
    "apiserver": "/etc/kubernetes/pki/apiserver",
    "etcd/server": "/etc/kubernetes/pki/etcd/server",
    "etcd/peer": "/etc/kubernetes/pki/etcd/peer",
    "apiserver-etcd-client": "/etc/kubernetes/pki/apiserver-etcd-client",
    "agent": "/etc/romana/agent",
    "kubelet": "/var/lib/kubelet/pki/kubelet",
}
KUBELET_CONFIG = "/etc/kubernetes/kubelet.conf"
SERVICES = ("etcd", "kube-apiserver", "kubelet", "romana-agent")


def expired(installed):
    """Every leaf of the cluster as it would be two years on, signed by the real authorities, by
    host and name."""
    cluster = installed.cluster
    authorities = ensure(cluster).authorities
    long_ago = datetime.now(timezone.utc) - 2 * LEAF_LIFE
    return {
        (leaf.host, leaf.name): issue(authorities[leaf.authority], leaf.subject, long_ago)
        for leaf in leaves(cluster)
    }


def lay(installed, host, path, content):
    """Puts content into a file that is there, whose mode and owner stay."""
    text = base64.b64encode(content).decode()
    installed.on(host, f"echo {text} | base64 -d >{path}")


def spoil(installed, host, pairs):
    """Ends the life of a host's certificates, and has its services notice."""
    for name, place in PLACES.items():
        if (host, name) in pairs:
            lay(installed, host, f"{place}.crt", pairs[host, name].certificate)
            lay(installed, host, f"{place}.key", pairs[host, name].key)
    identity: Pair = pairs[host, "kubelet-client"]
    text = kubeconfig(
        cluster="t",
        server="https://198.18.0.10:6443",
        authority=ensure(installed.cluster).trusted["kubernetes"],
        user="kubelet",
        identity=identity,
    )
    lay(installed, host, KUBELET_CONFIG, text.encode())
    # Some of them do not come up any more: that is the point.
    installed.on(host, f"systemctl restart --no-block {' '.join(SERVICES)} || :", check=False)


@pytest.fixture
def ended(installed, eventually):
    """Nobody can talk to the API, nor it to etcd; and node1 has no identity that is valid."""
    pairs = expired(installed)
    for host in ("controller", "node1"):
        spoil(installed, host, pairs)
    healthy = (
        "curl -fsS --max-time 2 --cacert /etc/kubernetes/pki/ca.crt"
        " --cert /etc/kubernetes/pki/apiserver-kubelet-client.crt"
        " --key /etc/kubernetes/pki/apiserver-kubelet-client.key"
        " https://127.0.0.1:6443/readyz >/dev/null 2>&1 && echo yes || echo no"
    )
    eventually(60, lambda: "no" in installed.on("controller", healthy), "the API cannot be reached")
    return installed


def test_certificates_that_have_ended_are_told_and_replaced_without_the_api(ended):
    status = ended.run("status", "--json")
    problems = json.loads(status.out)["problems"]
    assert status.code == 1
    assert "controller: certificate /etc/kubernetes/pki/apiserver.crt has ended" in problems
    assert f"node1: certificate {KUBELET_CONFIG} has ended" in problems

    checked = ended.sandbox("--check")
    assert checked.code == 2
    changes = checked.results("changed")
    for host, path in (("controller", f"{PLACES['apiserver']}.crt"), ("node1", KUBELET_CONFIG)):
        told = changes[host, "pki", f"file:{path}"]
        assert told["before"].startswith("valid until ")
        assert told["after"].startswith("renewed until ")

    done = ended.sandbox()
    assert done.code == 0, done
    assert all(check["passed"] for check in done.of("CheckResult"))
    ends = datetime.fromisoformat(done.of("Recap")[-1]["certificates_end"])
    assert ends > datetime.now(timezone.utc) + LEAF_LIFE / 2
    status = ended.run("status")
    assert status.code == 0, status
    PAGE.ran("romana-install status", status.code)
    again = ended.sandbox()
    assert again.results("changed") == {}
