"""A call of AWS' API as a value: decided on before anything is made, carried out by `render`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from installer.platforms.aws.records import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Args:
        service: "ec2".
        operation: boto3's name of it.
        arguments: may hold references anywhere, in place of ids.
        yields: ids that its answer holds: reference and path ("Vpc.VpcId").
        done: codes of errors that say that it was done already.
        otherwise: a call to make instead when one of these codes comes.
    """

    operation: str
    arguments: Mapping[str, Any]
    service: str = "ec2"
    yields: tuple[tuple[Ref, str], ...] = ()
    done: frozenset[str] = frozenset()
    otherwise: tuple[frozenset[str], Call] | None = None

    @property
    def references(self) -> frozenset[Ref]:
        """What must be there before."""
        return frozenset(_references(self.arguments))


def filled(value: Any, ids: Mapping[Ref, str]) -> Any:
    """Arguments with ids in place of references.

    Raises:
        KeyError: one is not known.
    """
    if isinstance(value, Ref):
        return ids[value]
    if isinstance(value, Mapping):
        return {key: filled(item, ids) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, ids) for item in value]
    return value


def at(answer: Any, path: str) -> Any:
    """The value at a path of an answer: "Instances.0.InstanceId"."""
    for step in path.split("."):
        answer = answer[int(step)] if step.isdigit() else answer[step]
    return answer


def _references(value: Any) -> list[Ref]:
    if isinstance(value, Ref):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        return [ref for item in items for ref in _references(item)]
    return []
