"""What isolates a pod, found by its namespace and labels rather than by asking every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from romana.objects import (
    Key,
    Namespace,
    NetworkPolicy,
    Operator,
    OperatorPolicy,
    Pod,
    Selector,
    Snapshot,
)
from romana.policy.model import PodSet
from romana.policy.translate import Isolating, effective, targets

Label = tuple[str, str]
"""A label's key and value."""


class PolicyIndex:
    """What isolates the pods of some namespaces.

    Args:
        snapshot: the cluster.
        namespaces: those of interest; policies of others are skipped.
    """

    def __init__(self, snapshot: Snapshot, namespaces: Iterable[str]) -> None:
        self._in: dict[str, _InNamespace] = {}
        self._known: Mapping[Key, Namespace] = snapshot.namespaces
        self._targets = _Targets()
        self.retarget(snapshot, snapshot.operator_policies)
        self.refresh(snapshot, namespaces)

    def refresh(self, snapshot: Snapshot, namespaces: Iterable[str]) -> None:
        """Go over to another snapshot, and look again at the NetworkPolicies of some namespaces."""
        known = self._known = snapshot.namespaces
        wanted = {name: _InNamespace(known.get(("", name))) for name in namespaces}
        if not wanted:
            return
        for policy in snapshot.policies.values():
            found = wanted.get(policy.namespace)
            if found is not None:
                found.add(effective(policy, known))
        self._in.update(wanted)

    def retarget(self, snapshot: Snapshot, keys: Iterable[Key]) -> tuple[PodSet, ...]:
        """Take notice that RomanaPolicies are other ones now, or gone.

        Returns:
            The pods that they isolated, or isolate now.
        """
        return tuple(
            pods
            for key in keys
            for pods in self._targets.put(
                key, snapshot.operator_policies.get(key), snapshot.segment_labels
            )
        )

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
        return [*found.selecting(pod), *self._targets.selecting(pod, self._known)] if found else []


class _InNamespace:
    """What isolates pods of one namespace alone."""

    def __init__(self, namespace: Namespace | None) -> None:
        self._annotated = (namespace,) if namespace and namespace.isolated_by else ()
        self._by_label: defaultdict[Label | None, list[NetworkPolicy]] = defaultdict(list)

    def add(self, policy: NetworkPolicy) -> None:
        """Take a policy of this namespace."""
        for label in _labels(policy.pods):
            self._by_label[label].append(policy)

    def selecting(self, pod: Pod) -> list[Isolating]:
        """What isolates a pod of this namespace."""
        found = (
            policy
            for label in (None, *pod.labels.items())
            for policy in self._by_label.get(label, ())
            if policy.pods.matches(pod.labels)
        )
        return [*self._annotated, *sorted(found, key=lambda policy: policy.key)]


class _Targets:
    """The pods that RomanaPolicies isolate, by the one namespace or the one label that all pods of
    a set have."""

    def __init__(self) -> None:
        self._sets: dict[Key, tuple[PodSet, ...]] = {}
        self._policies: dict[Key, OperatorPolicy] = {}
        self._by_label: defaultdict[tuple[str | None, Label | None], set[Key]] = defaultdict(set)

    def put(
        self, key: Key, policy: OperatorPolicy | None, labels: tuple[str, ...]
    ) -> tuple[PodSet, ...]:
        """Take a policy, or let go of it (None).

        Args:
            key: the policy's.
            policy: as it is now.
            labels: those that put a pod into a segment.

        Returns:
            The sets that were its, and those that are.
        """
        old = self._sets.pop(key, ())
        for place in _places(old):
            self._by_label[place].discard(key)
            if not self._by_label[place]:
                del self._by_label[place]
        self._policies.pop(key, None)
        if policy is None:
            return old
        new = self._sets[key] = targets(policy, labels)
        self._policies[key] = policy
        for place in _places(new):
            self._by_label[place].add(key)
        return (*old, *new)

    def selecting(self, pod: Pod, known: Mapping[Key, Namespace]) -> list[Isolating]:
        """Those that isolate a pod, by name."""
        found = {
            key
            for namespace in (None, pod.namespace)
            for label in (None, *pod.labels.items())
            for key in self._by_label.get((namespace, label), ())
        }
        return [
            self._policies[key]
            for key in sorted(found)
            if any(pods.holds(pod, known) for pods in self._sets[key])
        ]


def _places(sets: Iterable[PodSet]) -> frozenset[tuple[str | None, Label | None]]:
    return frozenset((pods.namespace, label) for pods in sets for label in _labels(pods.pods))


def _labels(selector: Selector) -> Iterator[Label | None]:
    """Labels of which every pod that a selector matches has at least one; None where there is
    nothing of the kind."""
    for requirement in selector.requirements:
        if requirement.operator is Operator.IN:
            yield from ((requirement.key, value) for value in set(requirement.values))
            return
    yield None
