"""Which programs a pod is a peer in, found by its namespace and labels rather than by asking every
set of pods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from romana.objects import Key, Namespace, Operator, Pod
from romana.policy.grants import GrantTable
from romana.policy.model import PodSet

Place = tuple[str | None, str, str]
"""Where to look a set up: its namespace, or None for any; a label and a value of it, or both empty
where it asks for none."""


class PeerIndex:
    """The sets of pods that grants refer to, and whose they are."""

    def __init__(self) -> None:
        self._users: defaultdict[PodSet, set[GrantTable]] = defaultdict(set)
        self._sets: defaultdict[Place, set[PodSet]] = defaultdict(set)
        self._by_address: set[GrantTable] = set()

    def add(self, table: GrantTable) -> None:
        """Take notice of grants."""
        if table.by_address:
            self._by_address.add(table)
        for each in table.sets:
            if each not in self._users:
                for place in _places(each):
                    self._sets[place].add(each)
            self._users[each].add(table)

    def remove(self, table: GrantTable) -> set[PodSet]:
        """Forget grants; the sets that nothing refers to any more."""
        self._by_address.discard(table)
        unused = set()
        for each in table.sets:
            self._users[each].discard(table)
            if not self._users[each]:
                del self._users[each]
                unused.add(each)
                for place in _places(each):
                    self._sets[place].discard(each)
        return unused

    def holding(self, pod: Pod, namespaces: Mapping[Key, Namespace]) -> frozenset[PodSet]:
        """The sets that hold a pod."""
        return frozenset(
            each
            for place in _looked_up(pod)
            for each in self._sets.get(place, ())
            if each.holds(pod, namespaces)
        )

    def concerned(self, sets: frozenset[PodSet]) -> set[GrantTable]:
        """Those whose grants for a pod may depend on it, if these sets hold it."""
        return self._by_address.union(*(self._users[each] for each in sets))


def _places(pods: PodSet) -> Iterator[Place]:
    for requirement in pods.pods.requirements:
        if requirement.operator is Operator.IN:
            for value in requirement.values:
                yield (pods.namespace, requirement.key, value)
            return
    yield (pods.namespace, "", "")


def _looked_up(pod: Pod) -> Iterator[Place]:
    for namespace in (pod.namespace, None):
        yield (namespace, "", "")
        for key, value in pod.labels.items():
            yield (namespace, key, value)
