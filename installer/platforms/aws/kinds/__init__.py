"""The kinds of objects of a cluster, in the order in which they are made."""

from __future__ import annotations

from installer.platforms.aws.kinds import (
    gateway,
    group,
    instance,
    key,
    role,
    route,
    subnet,
    table,
    vpc,
)
from installer.platforms.aws.kinds.base import Kind, Scope

KINDS: tuple[Kind, ...] = (
    vpc.KIND,
    subnet.KIND,
    gateway.KIND,
    table.KIND,
    group.KIND,
    key.KIND,
    role.KIND,
    role.PROFILE_KIND,
    instance.KIND,
    route.KIND,
)
BY_NAME = {kind.name: kind for kind in KINDS}

__all__ = ["BY_NAME", "KINDS", "Kind", "Scope"]
