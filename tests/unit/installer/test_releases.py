"""The tables of what differs between Kubernetes versions."""

import pytest

from installer import releases


@pytest.mark.parametrize(
    ("program", "version", "flag", "there"),
    [
        ("kube-scheduler", "v1.20.2", "--port=0", True),
        ("kube-scheduler", "v1.23.0", "--port=0", False),
        ("kubelet", "v1.23.9", "--container-runtime=remote", True),
        ("kubelet", "v1.24.0", "--container-runtime=remote", False),
        ("kubelet", "v1.26.0", "--container-runtime-endpoint=E", True),
        ("kubelet", "v1.27.0", "--container-runtime-endpoint=E", False),
        ("kubelet", "v1.34.0", "--pod-infra-container-image=P", True),
        ("kube-controller-manager", "v1.30.0", "--configure-cloud-routes=false", True),
        ("kube-controller-manager", "v1.31.0", "--configure-cloud-routes=false", False),
    ],
)
def test_flags(program: releases.Program, version: str, flag: str, there: bool) -> None:
    assert (flag in releases.flags(program, version, endpoint="E", pause="P")) is there


@pytest.mark.parametrize("minor", releases.supported())
def test_the_endpoint_is_given_exactly_once(minor: int) -> None:
    version = f"v1.{minor}.0"
    found = releases.flags("kubelet", version, endpoint="E", pause="P")
    assert any("endpoint" in flag for flag in found) is not releases.endpoint_in_file(version)


def test_range() -> None:
    releases.require_supported("v1.20.2")
    releases.require_supported(f"v1.{releases.NEWEST}.0")
    with pytest.raises(releases.UnsupportedVersion, match=r"nearest is v1\.20\.x"):
        releases.require_supported("v1.19.16")
    with pytest.raises(releases.UnsupportedVersion, match=rf"nearest is v1\.{releases.NEWEST}\.x"):
        releases.require_supported("v1.77.0")
    with pytest.raises(releases.UnsupportedVersion, match=r"write it like v1\.20\.2"):
        releases.require_supported("1.20")


def test_needs() -> None:
    assert releases.minimum_containerd("v1.20.2") == (1, 3)
    assert releases.minimum_containerd("v1.34.0") == (1, 6)
    assert releases.minimum_kernel("v1.33.0") == (4, 19)
    assert releases.runs_on_cgroup_v1("v1.34.0")
    assert not releases.runs_on_cgroup_v1("v1.35.0")
    assert releases.newest_for(kernel=(4, 4), cgroup_v1=True) == 31
    assert releases.newest_for(kernel=(3, 13), cgroup_v1=True) is None  # no pids in its cgroups
    assert releases.newest_for(kernel=(6, 1), cgroup_v1=False) == releases.NEWEST
    assert releases.newest_for(kernel=(2, 6), cgroup_v1=True) is None


def test_taints() -> None:
    assert releases.controller_taint("v1.20.2").startswith("node-role.kubernetes.io/master")
    assert releases.controller_taint("v1.30.0").startswith("node-role.kubernetes.io/control-plane")
