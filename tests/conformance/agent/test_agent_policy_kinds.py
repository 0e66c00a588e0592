"""The other kinds of policies in the kernel by the real agent: the annotation of Kubernetes 1.3,
with the policies that go with it, and Romana policies."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import yaml
from click.testing import CliRunner

from romana.cli import main

ANNOTATIONS = ("net.beta.kubernetes.io/network-policy", "net.beta.kubernetes.io/networkpolicy")
DENY = '{"ingress": {"isolation": "DefaultDeny"}}'
POL1 = """
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata:
 name: pol1
 namespace: shop
spec:
 podSelector:
  matchLabels:
   role: backend
 ingress:
 - from:
   - podSelector:
      matchLabels:
       role: frontend
   ports:
   - protocol: tcp
     port: 80
"""


@contextmanager
def annotated(cluster, **annotations):
    """The namespace `shop` with annotations, for a while."""
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    metadata = {"name": "shop", "labels": {"team": "shop"}, "annotations": annotations}
    other = {"name": "other", "labels": {"team": "other"}}
    try:
        cluster.write("namespaces", {**kind, "metadata": metadata}, {**kind, "metadata": other})
        yield
    finally:
        cluster.namespaces(shop={"team": "shop"}, other={"team": "other"})


@pytest.fixture
def tiers(cluster, hosts, pods):
    """Front end and back end on different hosts, and a front end of another namespace."""
    one, two = hosts
    return {
        "frontend": cluster.attach(one, "shop/frontend", role="frontend", segment="frontend"),
        "backend": cluster.attach(two, "shop/backend", role="backend", segment="backend"),
        "stranger": cluster.attach(two, "other/frontend", role="frontend", segment="frontend"),
        "other": pods["a1"],
    }


def reaching(tiers, port=80):
    """Who reaches the back end."""
    backend = tiers["backend"]
    return {
        name for name, pod in tiers.items() if pod is not backend and pod.reaches(backend, port)
    }


ALL = {"frontend", "stranger", "other"}


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_the_articles_policy(cluster, hosts, tiers, annotation):
    assert reaching(tiers) == ALL
    cluster.write("policy-pol1", yaml.safe_load(POL1))
    cluster.settle()
    assert reaching(tiers) == ALL  # as in Kubernetes 1.3: without the annotation it is nothing
    (shown,) = hosts[0].ask("policies", name="shop/pol1")
    assert shown["idle"].startswith("says nothing, since the namespace has no annotation")
    with annotated(cluster, **{annotation: DENY}):
        cluster.within(2, lambda: reaching(tiers) == {"frontend"})
        cluster.responder.tcp(tiers["backend"].inside, 81)
        assert reaching(tiers, 81) == set()
        assert not tiers["stranger"].reaches(tiers["frontend"])  # of no policy, closed all the same
        with hosts[1].inside.connect(tiers["backend"].address, 80, timeout_s=1):
            pass  # the node reaches its own pods: bug 8 of the original
        question = {"from": "other/frontend", "to": "shop/backend", "port": 80, "protocol": "TCP"}
        assert f"annotation {annotation} of namespace shop" in " ".join(
            hosts[1].ask("explain", **question)["lines"]
        )
    cluster.within(2, lambda: reaching(tiers) == ALL)


def test_an_annotation_that_cannot_be_read_isolates_and_is_told(cluster, hosts, tiers):
    with annotated(cluster, **{ANNOTATIONS[0]: "DefaultDeny"}):
        cluster.within(2, lambda: reaching(tiers) == set())
        (refused,) = hosts[0].ask("status")["policies_refused"]
        assert refused.startswith(f"Namespace shop: metadata.annotations[{ANNOTATIONS[0]}]: is not")
        assert hosts[0].metrics()["romana_policies_refused"] == 1
    cluster.within(2, lambda: reaching(tiers) == ALL)
    assert hosts[0].metrics()["romana_policies_refused"] == 0


def romana_policy(**spec):
    return {
        "apiVersion": "romana.io/v1",
        "kind": "RomanaPolicy",
        "metadata": {"name": "tiers"},
        "spec": spec,
    }


def test_a_romana_policy_is_added_enforced_and_removed(cluster, hosts, tiers, tmp_path):
    def command(*arguments):
        source = ("--source", f"files:{cluster.manifests}")
        result = CliRunner().invoke(main, ["policy", *arguments, *source])
        assert result.exit_code == 0, result.output

    file = tmp_path / "tiers.yaml"
    backend = {"tenant": "shop", "segment": "backend"}
    entry = {
        "peers": [{"tenant": "shop", "segment": "frontend"}],
        "rules": [{"protocol": "tcp", "ports": [80]}],
    }
    spec = {"direction": "ingress", "applied_to": [backend], "ingress": [entry]}
    file.write_text(yaml.safe_dump(romana_policy(**spec)))
    try:
        command("add", str(file))
        cluster.within(2, lambda: reaching(tiers) == {"frontend"})
        (shown,) = hosts[1].ask("policies", name="tiers")
        assert shown["pods_here"] == ["shop/backend"]
        judged = {each["pod"]: each["ingress"] for each in hosts[1].ask("endpoints")}
        assert judged["shop/backend"]["policies"] == ["tiers"]
        entry["peers"].append({"namespaces": {"matchLabels": {"team": "other"}}})
        file.write_text(yaml.safe_dump(romana_policy(**spec)))
        command("add", str(file))
        cluster.within(2, lambda: reaching(tiers) == {"frontend", "stranger"})
        egress = {"peers": [{"cidr": "198.18.0.0/15"}], "rules": [{"protocol": "any"}]}
        anybody = [{"namespaces": {}, "pods": {"matchLabels": {"role": "frontend"}}}]
        leash = romana_policy(direction="egress", applied_to=anybody, egress=[egress])
        cluster.write("romana-leash", {**leash, "metadata": {"name": "leash"}})
        cluster.within(2, lambda: reaching(tiers) == set())
        cluster.remove("romana-leash")
        cluster.within(2, lambda: reaching(tiers) == {"frontend", "stranger"})
    finally:
        command("remove", "tiers")
    cluster.within(2, lambda: reaching(tiers) == ALL)


def test_a_romana_policy_that_is_refused_isolates_and_is_told(cluster, hosts, tiers):
    peers = [{"tenant": "shop", "segmnt": "frontend"}]
    entry = {"peers": peers, "rules": [{"protocol": "any"}]}
    target = {"tenant": "shop", "segment": "backend"}
    broken = romana_policy(direction="ingress", applied_to=[target], ingress=[entry])
    try:
        cluster.write("romana-broken", broken)
        cluster.within(2, lambda: reaching(tiers) == set())
        (refused,) = hosts[0].ask("status")["policies_refused"]
        assert "spec.ingress[0].peers[0].segmnt: is not a known key; did you mean" in refused
    finally:
        cluster.remove("romana-broken")
    cluster.within(2, lambda: reaching(tiers) == ALL)
