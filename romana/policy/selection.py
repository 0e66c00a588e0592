"""What isolates a pod, found by its namespace and labels rather than by asking every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from romana.objects import NetworkPolicy, Operator, OperatorPolicy, Pod, Snapshot
from romana.policy.model import PodSet
from romana.policy.translate import Isolating, effective, targets


class PolicyIndex:
    """What isolates the pods of some namespaces.

    Args:
        snapshot: the cluster.
        namespaces: those of interest; policies of others are skipped.
    """

    def __init__(self, snapshot: Snapshot, namespaces: Iterable[str]) -> None:
        wanted = frozenset(namespaces)
        self._by_label: defaultdict[tuple[str, str, str], list[NetworkPolicy]] = defaultdict(list)
        self._others: defaultdict[str, list[NetworkPolicy]] = defaultdict(list)
        self._annotated = {
            name: namespace
            for name in wanted
            if (namespace := snapshot.namespaces.get(("", name))) and namespace.isolated_by
        }
        for policy in snapshot.policies.values():
            if policy.namespace in wanted:
                self._add(effective(policy, snapshot.namespaces))
        self._snapshot = snapshot
        self._operators: defaultdict[str, list[tuple[OperatorPolicy, list[PodSet]]]] = defaultdict(
            list
        )
        for _, each in sorted(snapshot.operator_policies.items()):
            self._add_operator(each, wanted)

    def _add_operator(self, policy: OperatorPolicy, wanted: Iterable[str]) -> None:
        found = targets(policy, self._snapshot.segment_labels)
        known = self._snapshot.namespaces
        for name in wanted:
            if here := [pods for pods in found if pods.holds_namespace(name, known)]:
                self._operators[name].append((policy, here))

    def _add(self, policy: NetworkPolicy) -> None:
        for requirement in policy.pods.requirements:
            if requirement.operator is Operator.IN:
                for value in set(requirement.values):
                    key = (policy.namespace, requirement.key, value)
                    self._by_label[key].append(policy)
                return
        self._others[policy.namespace].append(policy)

    def selecting(self, pod: Pod) -> list[Isolating]:
        """What isolates a pod: its namespace, then NetworkPolicies by name, then RomanaPolicies by
        name. The pod is not in its node's network."""
        found = list(self._others.get(pod.namespace, ()))
        for key, value in pod.labels.items():
            found.extend(self._by_label.get((pod.namespace, key, value), ()))
        namespace = self._annotated.get(pod.namespace)
        return [
            *((namespace,) if namespace else ()),
            *sorted(
                (policy for policy in found if policy.pods.matches(pod.labels)),
                key=lambda policy: policy.key,
            ),
            *(
                policy
                for policy, sets in self._operators.get(pod.namespace, ())
                if any(each.pods.matches(pod.labels) for each in sets)
            ),
        ]
