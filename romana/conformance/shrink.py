"""Makes a case that fails small: steps, policies, pods, parts of policies and labels are left out
for as long as what is left still fails. Whether it does is asked of the caller, who tries it live;
what must hold in a smaller case is said by the reference evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from romana.conformance.cases import Case, Step
from romana.conformance.manifests import step_manifests
from romana.conformance.placement import place
from romana.conformance.worlds import judged, snapshot
from romana.sources.errors import InvalidObject

T = TypeVar("T")
Fails = Callable[[Case], bool]
"""Whether a case fails. It may say no at any time to end the search."""
Policy = Mapping[str, Any]
KEPT = frozenset(("policyTypes", "applied_to"))
"""Lists whose elements are not left out: without the one a policy isolates otherwise, and without
the other it is none."""
OPTIONAL = frozenset(("except", "matchLabels", "matchExpressions"))


def smallest(case: Case, step: int, fails: Fails) -> Case:
    """A small case that fails: nothing can be left out of it, unless `fails` has ended the search.

    Args:
        case: fails.
        step: number of the first step with a wrong cell, from 1.
        fails: tries a case.
    """
    case = _fewer_steps(case, step, fails)
    progress = True
    while progress:
        progress = False
        for kind in (
            _without_steps,
            _without_policies,
            _without_pods,
            _without_parts,
            _without_labels,
        ):
            case, smaller = _greedy(case, kind, fails)
            progress |= smaller
    return case


def _fewer_steps(case: Case, step: int, fails: Fails) -> Case:
    """The end of the case that still fails, the shortest first."""
    for first in range(step - 1, -1, -1):
        candidate = replace(case, steps=case.steps[first:step])
        if first == 0 or fails(candidate):
            return candidate
    return case


def _greedy(case: Case, kind: Callable[[Case], Iterator[Case]], fails: Fails) -> tuple[Case, bool]:
    """Leave out what can be; whether anything could. What could not before is not tried again."""
    smaller, tried = False, 0
    while True:
        for number, candidate in enumerate(kind(case)):
            if number >= tried and fails(candidate):
                case, smaller, tried = candidate, True, number
                break
        else:
            return case, smaller


def rejudged(step: Step) -> Step | None:
    """A step with what the reference says of it; None where one of its policies cannot be read."""
    placement = place((pod.address for pod in step.pods), ("host1",))
    try:
        objects = snapshot(step_manifests(step, placement))
    except InvalidObject:
        return None
    verdicts = judged(objects, step.pods, step.ports)
    blocked = {cell: sides for cell, sides in verdicts.items() if not sides.admitted}
    cells = len(step.pods) ** 2 * len(step.ports)
    return replace(step, blocked=blocked, cells=cells)


def _changed(case: Case, change: Callable[[Step], Step]) -> Iterator[Case]:
    """The case with all its steps changed, if that leaves one that can be judged."""
    steps = [rejudged(change(step)) for step in case.steps]
    found = tuple(step for step in steps if step is not None and len(step.pods) > 1)
    if len(found) == len(steps):
        yield replace(case, steps=found)


def _parts_of(items: Sequence[T]) -> Iterator[frozenset[T]]:
    """What may be left out of some: either half, then each."""
    half = len(items) // 2
    if half > 1:
        yield from (frozenset(items[:half]), frozenset(items[half:]))
    yield from (frozenset((each,)) for each in items)


def _without_steps(case: Case) -> Iterator[Case]:
    for number in range(len(case.steps) if len(case.steps) > 1 else 0):
        yield replace(case, steps=(*case.steps[:number], *case.steps[number + 1 :]))


def _without_policies(case: Case) -> Iterator[Case]:
    names = sorted({_name(policy) for step in case.steps for policy in step.policies})
    for gone in _parts_of(names):
        yield from _changed(
            case,
            lambda step, gone=gone: replace(  # type: ignore[misc]
                step, policies=tuple(each for each in step.policies if _name(each) not in gone)
            ),
        )


def _without_pods(case: Case) -> Iterator[Case]:
    titles = sorted({pod.title for step in case.steps for pod in step.pods})
    for gone in _parts_of(titles):
        yield from _changed(
            case,
            lambda step, gone=gone: replace(  # type: ignore[misc]
                step, pods=tuple(each for each in step.pods if each.title not in gone)
            ),
        )


def _without_parts(case: Case) -> Iterator[Case]:
    """The case with one part of a policy's less, in every step where the policy is the same."""
    policies = {_name(policy): policy for step in case.steps for policy in step.policies}
    for policy in policies.values():
        for smaller in _smaller(policy["spec"]):
            other = {**policy, "spec": smaller}
            yield from _changed(
                case,
                lambda step, policy=policy, other=other: replace(  # type: ignore[misc]
                    step,
                    policies=tuple(other if each == policy else each for each in step.policies),
                ),
            )


def _smaller(value: Any) -> Iterator[Any]:
    """A value with one element of a list less, or without all exceptions or labels asked for."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield [*value[:number], *value[number + 1 :]]
            yield from ([*value[:number], it, *value[number + 1 :]] for it in _smaller(each))
    elif isinstance(value, Mapping):
        for key in sorted(OPTIONAL & value.keys()):
            yield {name: other for name, other in value.items() if name != key}
        for key in sorted(value.keys() - KEPT):
            yield from ({**value, key: smaller} for smaller in _smaller(value[key]))


def _without_labels(case: Case) -> Iterator[Case]:
    """The case with one label less, of a pod or a namespace."""
    pods = sorted(
        {(pod.title, key) for step in case.steps for pod in step.pods for key in pod.labels}
    )
    for title, key in pods:
        yield from _changed(
            case,
            lambda step, title=title, key=key: replace(  # type: ignore[misc]
                step,
                pods=tuple(
                    replace(pod, labels=_without(pod.labels, key)) if pod.title == title else pod
                    for pod in step.pods
                ),
            ),
        )
    spaces = sorted(
        {
            (name, key)
            for step in case.steps
            for name, found in step.namespaces.items()
            for key in found
        }
    )
    for name, key in spaces:
        yield from _changed(
            case,
            lambda step, name=name, key=key: replace(  # type: ignore[misc]
                step,
                namespaces={
                    each: _without(found, key) if each == name else found
                    for each, found in step.namespaces.items()
                },
            ),
        )


def _without(labels: Mapping[str, str], key: str) -> Mapping[str, str]:
    return {name: value for name, value in labels.items() if name != key}


def _name(policy: Policy) -> str:
    return str(policy["metadata"]["name"])
