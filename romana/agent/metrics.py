"""What the agent counts and measures, for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from romana.version import VERSION

Denied = tuple[str, str, str, int]
"""Namespace and name of a pod, the direction, and packets."""

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class DeniedPackets(Collector):
    """What the kernel has counted for each pod of this host. Its counts begin anew with the pod, or
    when the table is made anew, as a counter may. There are as many series as pods are here now."""

    def __init__(self) -> None:
        self.counts: tuple[Denied, ...] = ()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric, as it was last read."""
        family = CounterMetricFamily(
            "romana_denied_packets",
            "Packets to (ingress) and from (egress) a pod of this host that policies denied",
            labels=("namespace", "pod", "direction"),
        )
        for *labels, packets in self.counts:
            family.add_metric([str(each) for each in labels], packets)
        yield family


class Metrics:
    """The agent's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("romana_build", "The version of the agent", registry=registry).info(
            {"version": VERSION}
        )
        self.objects = Gauge(
            "romana_objects", "Objects known, by kind", ["kind"], registry=registry
        )
        self.refused = Gauge(
            "romana_refused_objects",
            "Objects that cannot be read and are not, or not fully, in force",
            registry=registry,
        )
        self.refused_policies = Gauge(
            "romana_policies_refused",
            "Policies, and isolating annotations of namespaces, that cannot be honoured as written",
            registry=registry,
        )
        self.source_troubles = Gauge(
            "romana_source_troubles", "Parts of the source that do not work now", registry=registry
        )
        self.endpoints = Gauge("romana_endpoints", "Pod interfaces of this host", registry=registry)
        self.programs = Gauge(
            "romana_programs", "Different programs that judge this host's pods", registry=registry
        )
        self.grants = Gauge(
            "romana_grants", "Grants in all programs of this host", registry=registry
        )
        self.addresses_free = Gauge(
            "romana_free_addresses",
            "Addresses left in this host's blocks",
            ["family"],
            registry=registry,
        )
        self.dropped = Gauge(
            "romana_dropped_packets",
            "Packets dropped since the table was last made, by reason",
            ["reason"],
            registry=registry,
        )
        self.denied = DeniedPackets()
        registry.register(self.denied)
        self.denied_lines = Counter(
            "romana_denied_lines",
            "Denied connections that were logged, a line each",
            registry=registry,
        )
        self.rounds = Histogram(
            "romana_reconcile_seconds",
            "Time of one comparison of kernel and intent",
            buckets=SHORT_S,
            registry=registry,
        )
        self.latency = Histogram(
            "romana_change_to_kernel_seconds",
            "Time from the arrival of a change to its enforcement",
            buckets=SHORT_S,
            registry=registry,
        )
        self.failures = Counter(
            "romana_reconcile_failures", "Comparisons that failed", registry=registry
        )
        self.miscompiled = Counter(
            "romana_miscompiled",
            "Times that compiling everything anew gave something else than the changes had",
            registry=registry,
        )
        self.repairs = Counter(
            "romana_drift_repairs",
            "Differences that somebody else had made in the kernel",
            ["what"],
            registry=registry,
        )
        self.verified = Gauge(
            "romana_verified",
            "Whether the last proof found the kernel equal to the policies; NaN before the first",
            registry=registry,
        )
        self.verified.set(math.nan)
        self.verify_differences = Gauge(
            "romana_verify_differences",
            "Classes of packets that the kernel treats otherwise than the policies say",
            registry=registry,
        )
        self.drift_traffic = Counter(
            "romana_drift_traffic",
            "Classes of packets that were treated otherwise before a repair, by what was wrong",
            ["wrong"],
            registry=registry,
        )
        self.verify_seconds = Gauge(
            "romana_verify_seconds", "Processor time of the last proof", registry=registry
        )
        self.cut = Counter(
            "romana_connections_cut",
            "Connections that ended because a policy no longer admits them",
            registry=registry,
        )
        self.cni = Histogram(
            "romana_cni_seconds",
            "Time of the container runtime's requests",
            ["method"],
            buckets=SHORT_S,
            registry=registry,
        )
        self.cni_errors = Counter(
            "romana_cni_errors",
            "The runtime's requests that were refused",
            ["method", "code"],
            registry=registry,
        )
