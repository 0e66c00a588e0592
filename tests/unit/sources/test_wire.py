"""The other kinds: fields, defaults, and errors that name the field."""

from __future__ import annotations

import gc
from ipaddress import ip_address, ip_network

import pytest

from romana.objects import AddressBlock, ContainerPort, Protocol
from romana.sources.errors import InvalidObject
from romana.sources.wire import block_from, namespace_from, node_from, pod_from


def pod(spec=None, status=None, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", **metadata},
        "spec": spec or {},
        "status": status or {},
    }


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ({}, ()),
        ({"podIP": "10.0.0.1"}, ("10.0.0.1",)),
        (
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
            ("10.0.0.1", "fd00::1"),
        ),
        ({"podIP": "10.0.0.1", "phase": "Running"}, ("10.0.0.1",)),
        ({"podIP": "10.0.0.1", "phase": "Succeeded"}, ()),
        ({"podIP": "10.0.0.1", "phase": "Failed"}, ()),
        ({"podIP": "", "podIPs": []}, ()),
    ],
)
def test_a_pod_has_addresses_until_it_is_finished(status, addresses):
    assert pod_from(pod(status=status)).addresses == tuple(map(ip_address, addresses))


def test_named_ports_of_containers_and_sidecars():
    spec = {
        "containers": [
            {"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]},
            {"ports": [{"containerPort": 53, "name": "dns", "protocol": "UDP"}]},
            {},
        ],
        "initContainers": [
            {"restartPolicy": "Always", "ports": [{"containerPort": 9, "name": "side"}]},
            {"ports": [{"containerPort": 10, "name": "init"}]},
        ],
    }
    assert pod_from(pod(spec)).ports == (
        ContainerPort("http", 80, Protocol.TCP),
        ContainerPort("dns", 53, Protocol.UDP),
        ContainerPort("side", 9, Protocol.TCP),
    )


def test_a_static_pod_goes_by_the_uid_the_kubelet_gives_the_runtime():
    found = pod_from(
        pod(uid="of-the-mirror", annotations={"kubernetes.io/config.mirror": "of-the-file"})
    )
    assert found.uid == "of-the-file"
    assert pod_from(pod(uid="own", annotations={"x": "y"})).uid == "own"


def test_pods_with_equal_labels_share_them_while_they_live():
    first, second = (pod_from(pod(labels={"a": "b", "c": "d"})) for _ in range(2))
    assert first.labels is second.labels
    del first, second
    gc.collect()
    assert dict(pod_from(pod(labels={"c": "d", "a": "b"})).labels) == {"a": "b", "c": "d"}


def test_namespaces_keep_only_the_annotation_that_is_read():
    found = namespace_from(
        {
            "metadata": {
                "name": "n",
                "labels": None,
                "annotations": {"net.beta.kubernetes.io/network-policy": "{}", "other": "x"},
            }
        }
    )
    assert dict(found.annotations) == {"net.beta.kubernetes.io/network-policy": "{}"}
    assert dict(found.labels) == {}


def test_nodes_have_their_internal_addresses():
    addresses = [
        {"type": "Hostname", "address": "one"},
        {"type": "InternalIP", "address": "198.18.0.1"},
        {"type": "ExternalIP", "address": "8.8.8.8"},
        {"type": "InternalIP", "address": "fd00::1"},
    ]
    found = node_from({"metadata": {"name": "one"}, "status": {"addresses": addresses}})
    assert found.addresses == (ip_address("198.18.0.1"), ip_address("fd00::1"))


@pytest.mark.parametrize(
    ("cidr", "name"), [("10.112.0.0/25", "10.112.0.0-25"), ("fd00:1::/121", "fd00x1xx-121")]
)
def test_blocks_are_named_by_their_prefix(cidr, name):
    manifest = {"metadata": {"name": name}, "spec": {"cidr": cidr, "node": "one"}}
    assert block_from(manifest) == AddressBlock(ip_network(cidr), "one")
    manifest["metadata"]["name"] = "mine"
    with pytest.raises(InvalidObject, match="must be"):
        block_from(manifest)


@pytest.mark.parametrize(
    ("read", "manifest", "message"),
    [
        (
            pod_from,
            pod(labels={"a": 1}),
            "Pod n/p: metadata.labels[...]: Expected `str`, got `int`",
        ),
        (
            pod_from,
            pod(status={"podIP": "10.0.0"}),
            "Pod n/p: status.podIPs: `10.0.0` is not an address",
        ),
        (pod_from, {"spec": {}}, "Pod default/(no name): Object missing required field `metadata`"),
        (pod_from, {"metadata": {}}, "Pod (no name): metadata.name: is missing"),
        (
            node_from,
            {"metadata": {"name": "x"}, "status": {"addresses": 1}},
            "Node x: status.addresses: Expected",
        ),
        (
            block_from,
            {"metadata": {"name": "x"}, "spec": {"cidr": "y", "node": "z"}},
            "spec.cidr: `y` is not a",
        ),
    ],
)
def test_errors_name_object_and_field(read, manifest, message):
    with pytest.raises(InvalidObject) as caught:
        read(manifest)
    assert message in str(caught.value)
