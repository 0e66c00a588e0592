"""A cluster is upgraded by runs that are killed in every phase, while traffic runs through it: no
allowed connection is lost outside of drained pods, and no forbidden one gets through."""

import contextlib

from documented import Page

PAGE = Page("operations.md", "Upgrade")
pytestmark = [PAGE.mark]

NEXT = "v1.20.3"
CHECK = f"romana-install sandbox -n prod --set cluster.kubernetes={NEXT} --check"
KUBERNETES = f"romana-install sandbox -n prod --set cluster.kubernetes={NEXT} --yes"
QUICK = ("-c", "2", "--set", "cluster.smoke=false")
HOSTS = ("controller", "node1", "node2")
KILLED_IN = (
    ("snapshot", "controller"),
    ("control-plane", "controller"),
    ("cordon", "node1"),
    ("drain", "node1"),
    ("replace", "node1"),
    ("validate", "node1"),
)


@contextlib.contextmanager
def undisturbed(upgrading):
    """What may pass passes, and goes on; what may not does not."""
    ways = (("node1", "node2"), ("node2", "node1"))
    with contextlib.ExitStack() as stack:
        allowed = [stack.enter_context(upgrading.stream("friend", way)) for way in ways]
        forbidden = [stack.enter_context(upgrading.stream("stranger", way)) for way in ways]
        lasting = [stack.enter_context(upgrading.lasting(way)) for way in ways]
        yield
    tried = sum(stream.tried for stream in allowed)
    lost = sum(len(stream.failed) for stream in allowed)
    passed = sum(len(stream.passed) for stream in forbidden)
    print(f"{tried} allowed probes, {lost} lost; {passed} forbidden ones passed")
    assert [each.broken for each in lasting] == ["", ""]
    assert all(each.echoed > 10 for each in lasting)
    assert passed == 0
    assert lost == 0
    assert tried > 100


def reached(phase, host):
    """Whether an event says that a roll-out reached a phase on a host."""

    def wanted(event):
        return event["event"] == "RollOut" and event["phase"] == phase and host in event["hosts"]

    return wanted


def kubelets(upgrading):
    return {
        name: node["status"]["nodeInfo"]["kubeletVersion"]
        for name, node in upgrading.nodes().items()
    }


def test_what_is_not_legal_is_refused_with_the_legal_way(upgrading):
    refused = upgrading.operator.sandbox(*QUICK, "--set", "cluster.kubernetes=v1.22.0")
    assert refused.code == 1
    assert "v1.20.2 -> v1.21.x -> v1.22.0" in refused.err
    limited = (*QUICK, "--limit", "node1", "--set", f"cluster.kubernetes={NEXT}")
    refused = upgrading.operator.sandbox(*limited)
    assert refused.code == 1
    assert f"kubelet {NEXT} would be newer than the API server v1.20.2" in refused.err
    assert set(kubelets(upgrading).values()) == {"v1.20.2"}


def test_kubernetes_is_upgraded_by_runs_killed_in_every_phase(upgrading):
    checked = upgrading.type(PAGE, CHECK)
    assert checked.code == 2
    (told,) = checked.of("VersionChanges")
    ways = {(each["host"], each["program"]): each["after"] for each in told["changes"]}
    assert {host for host, program in ways if program == "kubelet"} == set(HOSTS)
    assert ("controller", "kube-apiserver") in ways
    words = (*QUICK, "--set", f"cluster.kubernetes={NEXT}")
    with undisturbed(upgrading):
        for phase, host in KILLED_IN:
            upgrading.operator.until(reached(phase, host), *words)
        ended = upgrading.type(PAGE, KUBERNETES)
    assert ended.code == 0, ended
    assert set(kubelets(upgrading).values()) == {NEXT}
    upgrading.require_in_service()
    assert list((upgrading.operator.state / "backups").glob("*.tar.gz"))
    again = upgrading.operator.sandbox(*QUICK, "--check")
    assert again.code == 0, again.results("changed")
