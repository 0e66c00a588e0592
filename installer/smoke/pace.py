"""How long the smoke test waits for what; seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Limits and pauses of one run. The defaults are for real clusters; tests of the smoke test
    itself go faster."""

    start_limit_s: float = 90.0
    """Until all pods run."""
    remove_limit_s: float = 30.0
    """Until all pods are gone."""
    open_limit_s: float = 60.0
    """Without policies: new Services have to reach every host's kube-proxy first, which asks an
    API server that was away (this run may have restarted it) again after up to 30 s."""
    phase_limit_s: float = 4.5
    """After a change of policy; well over the limit within which it has to take effect, so that
    late can be told from never."""
    control_limit_s: float = 4.0
    """For a server to answer itself, and for a stream to start counting."""
    quiet_s: float = 1.0
    """Without a number from a stream: then it counts as cut."""
    period_s: float = 1.0
    """Of the kubelet's probes."""
    tick_s: float = 0.02
    """Between two looks at a condition on this machine."""
    poll_s: float = 0.1
    """Between two looks at the API server."""


PACE = Pace()
