"""extensions/v1beta1 NetworkPolicy and the annotation that goes with it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from romana.objects import DEFAULT_DENY_ANNOTATION, Operator, PodPeer, PortMatch, Protocol
from romana.sources.beta import beta_policy_from
from romana.sources.errors import InvalidObject
from romana.sources.events import event_for
from romana.sources.files import read_content
from romana.sources.kinds import BETA_POLICY, POLICY
from romana.sources.wire import namespace_from

OLDER = "net.beta.kubernetes.io/networkpolicy"
DENY = '{"ingress": {"isolation": "DefaultDeny"}}'

POL1 = b"""
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata:
 name: pol1
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
"""The article's, with the indentation and the lines without values that its copy has lost."""


def read(spec):
    return beta_policy_from({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})


def namespace(**annotations):
    return namespace_from({"metadata": {"name": "n", "annotations": annotations}})


def test_the_articles_policy_is_read_unchanged():
    ((kind, policy),) = read_content((0, 0, 0), POL1, "pol1.yaml").objects
    assert kind is BETA_POLICY
    assert policy.beta
    assert policy.key == ("default", "pol1")
    (wanted,) = policy.pods.requirements
    assert (wanted.key, wanted.operator, wanted.values) == ("role", Operator.IN, ("backend",))
    (rule,) = policy.ingress
    assert rule.ports == (PortMatch(Protocol.TCP, 80),)
    (peer,) = rule.peers
    assert isinstance(peer, PodPeer)
    assert policy.egress is None


@pytest.mark.parametrize(
    ("spec", "field", "rules", "egress"),
    [
        ({"ingress": [{"from": []}, {}]}, "spec.ingress[0].from", 1, None),
        ({"ingress": [{}, {"ports": []}]}, "spec.ingress[1].ports", 1, None),
        ({"ingress": [{}], "egress": [{}]}, "spec.egress", 1, ()),
        ({"policyTypes": ["Ingress", "Egress"]}, "spec.policyTypes", 0, ()),
        ({"ingress": [{"from": [{}]}, {}]}, "spec.ingress[0].from[0]", 1, None),
        ({"ingress": "all"}, "spec.ingress", 0, None),
    ],
)
def test_what_cannot_be_honoured_is_refused_and_closed(spec, field, rules, egress):
    with pytest.raises(InvalidObject) as caught:
        read(spec)
    closed = caught.value.closed
    assert caught.value.field == field
    assert closed.beta
    assert len(closed.ingress) == rules
    assert closed.egress == egress


@pytest.mark.parametrize("spec", [{}, {"policyTypes": ["Ingress"]}, {"policyTypes": []}])
def test_no_rules_admit_nothing(spec):
    assert (read(spec).ingress, read(spec).egress) == ((), None)


def test_without_a_specification_it_isolates_as_any_broken_policy():
    with pytest.raises(InvalidObject) as caught:
        beta_policy_from({"metadata": {"name": "p"}})
    assert caught.value.closed.ingress == ()


@pytest.mark.parametrize("name", [DEFAULT_DENY_ANNOTATION, OLDER])
@pytest.mark.parametrize(
    ("text", "isolates"),
    [
        (DENY, True),
        ('{"ingress":{"isolation":"DefaultDeny"}}\n', True),
        ("{}", False),
        ('{"ingress": {}}', False),
        ('{"ingress": {"isolation": null}}', False),
    ],
)
def test_the_annotation_isolates_by_either_spelling(name, text, isolates):
    assert namespace(**{name: text}).isolated_by == (name if isolates else "")


def test_of_two_that_disagree_the_one_that_isolates_counts():
    found = namespace(**{DEFAULT_DENY_ANNOTATION: "{}", OLDER: DENY})
    assert found.isolated_by == OLDER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DefaultDeny",
        "{ingress: {isolation: DefaultDeny}}",
        "[]",
        '{"ingress": "DefaultDeny"}',
        '{"ingress": {"isolation": "defaultdeny"}}',
        '{"ingress": {"isolation": "DefaultDeny", "except": []}}',
        '{"egress": {"isolation": "DefaultDeny"}}',
        '{"ingress": {"isolation": "DefaultDeny"}, "egress": {}}',
    ],
)
def test_an_annotation_that_cannot_be_read_isolates_and_is_told(text):
    with pytest.raises(InvalidObject) as caught:
        namespace(**{DEFAULT_DENY_ANNOTATION: text})
    assert caught.value.closed.isolated_by == DEFAULT_DENY_ANNOTATION
    assert str(caught.value).startswith(
        f"Namespace n: metadata.annotations[{DEFAULT_DENY_ANNOTATION}]: "
    )
    assert "its pods are closed to ingress until it can be read" in str(caught.value)


def test_events_name_the_version_and_the_namespace():
    with pytest.raises(InvalidObject) as policy:
        read({"egress": [{}]})
    with pytest.raises(InvalidObject) as broken:
        namespace(**{OLDER: "x"})
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    assert (
        event_for(policy.value, "one", at)["involvedObject"]["apiVersion"] == "extensions/v1beta1"
    )
    event = event_for(broken.value, "one", at)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "namespace": "",
        "name": "n",
    }
    assert event["metadata"]["namespace"] == "default"


def test_both_versions_fill_the_same_mapping():
    assert BETA_POLICY.field == POLICY.field
    assert BETA_POLICY.path == "/apis/extensions/v1beta1/networkpolicies"
