"""What isolates a pod, found by its namespace and labels rather than by asking every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from romana.objects import Namespace, NetworkPolicy, Operator, OperatorPolicy, Pod, Snapshot
from romana.policy.model import PodSet
from romana.policy.translate import Isolating, effective, targets


class PolicyIndex:
    """What isolates the pods of some namespaces.

    Args:
        snapshot: the cluster.
        namespaces: those of interest; policies of others are skipped.
    """

    def __init__(self, snapshot: Snapshot, namespaces: Iterable[str]) -> None:
        self._in: dict[str, _InNamespace] = {}
        self.refresh(snapshot, namespaces)

    def refresh(self, snapshot: Snapshot, namespaces: Iterable[str]) -> None:
        """Look again at some namespaces."""
        known = snapshot.namespaces
        wanted = {name: _InNamespace(known.get(("", name))) for name in namespaces}
        if not wanted:
            return
        for policy in snapshot.policies.values():
            found = wanted.get(policy.namespace)
            if found is not None:
                found.add(effective(policy, known))
        for _, each in sorted(snapshot.operator_policies.items()):
            sets = targets(each, snapshot.segment_labels)
            for name, found in wanted.items():
                if here := [pods for pods in sets if pods.holds_namespace(name, known)]:
                    found.operators.append((each, here))
        self._in.update(wanted)

    def keep(self, namespaces: Collection[str]) -> None:
        """Forget all but these."""
        for name in [each for each in self._in if each not in namespaces]:
            del self._in[name]

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._in

    def selecting(self, pod: Pod) -> list[Isolating]:
        """What isolates a pod: its namespace, then NetworkPolicies by name, then RomanaPolicies by
        name. The pod is not in its node's network."""
        found = self._in.get(pod.namespace)
        return found.selecting(pod) if found else []


class _InNamespace:
    """What isolates pods of one namespace."""

    def __init__(self, namespace: Namespace | None) -> None:
        self.operators: list[tuple[OperatorPolicy, list[PodSet]]] = []
        self._annotated = (namespace,) if namespace and namespace.isolated_by else ()
        self._by_label: defaultdict[tuple[str, str], list[NetworkPolicy]] = defaultdict(list)
        self._others: list[NetworkPolicy] = []

    def add(self, policy: NetworkPolicy) -> None:
        """Take a policy of this namespace."""
        for requirement in policy.pods.requirements:
            if requirement.operator is Operator.IN:
                for value in set(requirement.values):
                    self._by_label[requirement.key, value].append(policy)
                return
        self._others.append(policy)

    def selecting(self, pod: Pod) -> list[Isolating]:
        """What isolates a pod of this namespace."""
        found = list(self._others)
        for label in pod.labels.items():
            found.extend(self._by_label.get(label, ()))
        return [
            *self._annotated,
            *sorted(
                (policy for policy in found if policy.pods.matches(pod.labels)),
                key=lambda policy: policy.key,
            ),
            *(
                policy
                for policy, sets in self.operators
                if any(each.pods.matches(pod.labels) for each in sets)
            ),
        ]
