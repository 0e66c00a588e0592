"""Cases that fail are made small, and written so that they can be read again."""

import json

import pytest

from romana.conformance.cases import dump, parse
from romana.conformance.shrink import rejudged, smallest
from romana.conformance.worlds import Shape, random_case


def case(seed, steps=3):
    return random_case(seed, steps, Shape())


def texts(step):
    return json.dumps([*step.policies])


def with_exception(found):
    """A kernel that goes wrong where a policy has an exception, and two pods are there."""
    return any('"except": ["' in texts(step) for step in found.steps)


def closed(found):
    """One that goes wrong wherever anything is closed."""
    return any(step.blocked for step in found.steps)


def after_another(found):
    """One that goes wrong where a pod had other labels in the step before."""
    labels = [{pod.title: pod.labels for pod in step.pods} for step in found.steps]
    return any(
        before.get(title, now) != now
        for first, second in zip(labels, labels[1:], strict=False)
        for title, now in second.items()
        for before in (first,)
    )


@pytest.mark.parametrize("seed", range(2))
def test_what_is_closed_needs_two_pods_and_one_policy(seed):
    found = smallest(case(seed), 3, closed)
    (step,) = found.steps
    assert len(step.pods) == 2
    assert len(step.policies) == 1
    assert closed(found)
    assert not any(pod.labels for pod in step.pods) or "match" in texts(step)


def test_a_part_of_a_policy_is_all_that_is_left_of_it():
    seed = next(seed for seed in range(20) if with_exception(case(seed)))
    whole = case(seed)
    number = next(n for n, step in enumerate(whole.steps, 1) if '"except": ["' in texts(step))
    (step,) = smallest(whole, number, with_exception).steps
    (policy,) = step.policies
    assert texts(step).count("except") == 1
    assert texts(step).count("cidr") == 1
    assert "ports" not in policy["spec"].get("ingress", [{}])[0] or "ports" in texts(step)


def test_two_steps_are_left_where_the_change_counts():
    seed = next(seed for seed in range(20) if after_another(case(seed)))
    found = smallest(case(seed), 3, after_another)
    assert len(found.steps) == 2
    assert not any(step.policies for step in found.steps)
    assert all(len(step.pods) == 2 for step in found.steps)


def test_a_search_that_is_ended_leaves_what_was_found():
    tries = []

    def fails(found):
        tries.append(found)
        return len(tries) < 5 and closed(found)

    found = smallest(case(1), 3, fails)
    assert closed(found)
    assert len(found.steps) <= 3


@pytest.mark.parametrize("seed", range(2))
def test_what_is_written_is_read_again(seed):
    for shape in (Shape(), Shape(family=6), Shape(hosts=3)):
        made = random_case(seed, 2, shape)
        (read,) = parse(dump((made,)), "test")
        assert read == made
        assert [rejudged(step) for step in read.steps] == list(made.steps)
