"""Which policies isolate a pod, found by the pod's labels rather than by asking every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from romana.objects import NetworkPolicy, Operator, Pod


class PolicyIndex:
    """NetworkPolicies of some namespaces.

    Args:
        policies: all of them.
        namespaces: those of interest; policies of others are skipped.
    """

    def __init__(self, policies: Iterable[NetworkPolicy], namespaces: Iterable[str]) -> None:
        wanted = frozenset(namespaces)
        self._by_label: defaultdict[tuple[str, str, str], list[NetworkPolicy]] = defaultdict(list)
        self._others: defaultdict[str, list[NetworkPolicy]] = defaultdict(list)
        for policy in policies:
            if policy.namespace in wanted:
                self._add(policy)

    def _add(self, policy: NetworkPolicy) -> None:
        for requirement in policy.pods.requirements:
            if requirement.operator is Operator.IN:
                for value in set(requirement.values):
                    key = (policy.namespace, requirement.key, value)
                    self._by_label[key].append(policy)
                return
        self._others[policy.namespace].append(policy)

    def selecting(self, pod: Pod) -> list[NetworkPolicy]:
        """The policies that select a pod, by name. The pod is not in its node's network."""
        found = list(self._others.get(pod.namespace, ()))
        for key, value in pod.labels.items():
            found.extend(self._by_label.get((pod.namespace, key, value), ()))
        return sorted(
            (policy for policy in found if policy.pods.matches(pod.labels)),
            key=lambda policy: policy.key,
        )
