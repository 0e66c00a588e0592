"""What isolates a pod, found by its namespace and labels rather than by asking every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from romana.objects import (
    Key,
    Namespace,
    NetworkPolicy,
    Operator,
    OperatorPolicy,
    Pod,
    Snapshot,
)
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
        self._targets: dict[Key, tuple[OperatorPolicy, tuple[PodSet, ...]]] = {}
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
        self._look_at_targets(snapshot)
        for _, (operator, sets) in sorted(self._targets.items()):
            for pods in sets:
                for name in wanted if pods.namespace is None else (pods.namespace,):
                    found = wanted.get(name)
                    if found is not None and pods.holds_namespace(name, known):
                        found.add_target(operator, pods)
        self._in.update(wanted)

    def _look_at_targets(self, snapshot: Snapshot) -> None:
        """Work out again whom those RomanaPolicies isolate that are not as they were."""
        current = snapshot.operator_policies
        for key in [each for each in self._targets if each not in current]:
            del self._targets[key]
        for key, policy in current.items():
            held = self._targets.get(key)
            if held is None or held[0] is not policy:
                self._targets[key] = (policy, targets(policy, snapshot.segment_labels))

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
        self._operators: list[tuple[OperatorPolicy, list[PodSet]]] = []
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

    def add_target(self, policy: OperatorPolicy, pods: PodSet) -> None:
        """Take pods that a RomanaPolicy isolates, which may be of this namespace. Those of one
        policy come one after the other."""
        if self._operators and self._operators[-1][0] is policy:
            self._operators[-1][1].append(pods)
        else:
            self._operators.append((policy, [pods]))

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
                for policy, sets in self._operators
                if any(each.pods.matches(pod.labels) for each in sets)
            ),
        ]
