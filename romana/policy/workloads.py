"""Pods that belong together: those of one workload, as far as names and labels tell.

A snapshot keeps no owners. Controllers leave their traces in labels, whose values end the names of
the pods they make; what is left of the name is the workload's.
"""

from __future__ import annotations

import re

from romana.objects import Key, Pod

HASHES = ("pod-template-hash", "controller-revision-hash", "pod-template-generation")
"""Labels by which Deployments, DaemonSets and StatefulSets mark their pods."""
INDEX = ("apps.kubernetes.io/pod-index", "statefulset.kubernetes.io/pod-name")
JOB = ("batch.kubernetes.io/job-name", "job-name")
NAMES = ("app.kubernetes.io/name", "k8s-app", "app")
_ORDINAL = re.compile(r"-\d+$")
_RANDOM = re.compile(r"-[a-z0-9]{5}$")


def workload(pod: Pod) -> Key:
    """Namespace and name of a pod's workload; the pod's own name where nothing tells more."""
    return (pod.namespace, _name(pod))


def _name(pod: Pod) -> str:
    labels = pod.labels
    for key in JOB:
        if key in labels:
            return labels[key]
    if any(key in labels for key in INDEX):
        return _ORDINAL.sub("", pod.name)
    if "pod-template-hash" in labels:
        return _RANDOM.sub("", pod.name).removesuffix(f"-{labels['pod-template-hash']}")
    if any(key in labels for key in HASHES):
        return _RANDOM.sub("", pod.name)
    for key in NAMES:
        name = labels.get(key)
        if name and pod.name.startswith(f"{name}-"):
            return name
    return pod.name
