"""The whole smoke test against a modelled cluster: what it says of a healthy one, and that every
fault it is there for makes it fail, in the check that names it."""

import pytest
import yaml

from installer.errors import InstallerError, SmokeFailed
from installer.events import CheckResult, Notice
from installer.smoke import run


def failures(wanted, quick) -> dict[str, CheckResult]:
    events = []
    with pytest.raises(SmokeFailed) as caught:
        run(wanted, {}, events.append, quick)
    found = {e.name: e for e in events if isinstance(e, CheckResult) and not e.passed}
    assert set(caught.value.failures) == set(found)
    return found


def test_healthy_cluster_passes(fake, wanted, quick) -> None:
    events = []
    results = run(wanted, {}, events.append, quick)
    assert all(result.passed for result in results)
    assert [e for e in events if isinstance(e, CheckResult)] == list(results)
    names = [result.name for result in results]
    assert len(names) == len(set(names))
    for title in ("default deny blocks", "allowed peer connects", "established connection is cut"):
        assert f"{title}, same host" in names
        assert f"{title}, across hosts" in names


def test_everything_is_removed(fake, wanted, quick) -> None:
    run(wanted, {}, lambda _: None, quick)
    assert fake.objects == {}


def test_everything_is_removed_after_a_failure(fake, wanted, quick) -> None:
    fake.faults.unenforced = frozenset({"Ingress"})
    failures(wanted, quick)
    assert fake.objects == {}


def test_single_node_skips_checks_across_hosts(fake, wanted, quick) -> None:
    fake.nodes = ("node1",)
    events = []
    results = run(wanted, {}, events.append, quick)
    assert not any("across" in result.name for result in results)
    assert any(isinstance(e, Notice) and "only node" in e.text for e in events)


def test_every_node_has_a_backend(fake, wanted, quick) -> None:
    fake.nodes = ("node1", "node2", "node3")
    results = run(wanted, {}, lambda _: None, quick)
    assert results[0].observed == "7 on 3 hosts"


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"unenforced": frozenset({"Ingress"})}, "default deny blocks, same host"),
        ({"unenforced": frozenset({"Egress"})}, "egress deny blocks, across hosts"),
        ({"unenforced_across": True}, "default deny blocks, across hosts"),
        ({"any_source": True}, "another namespace stays blocked, across hosts"),
        ({"ports_ignored": True}, "another port stays blocked, same host"),
        ({"stateless_protocols": True}, "UDP, ICMP"),
        ({"service_bypass": True}, "blocked also through Service, same host"),
        ({"refuse": True}, "default deny blocks, same host"),
        ({"masquerade": True}, "source address is kept (no NAT), same host"),
        ({"keeps_connections": True}, "established connection is cut, across hosts"),
        ({"kubelet_denied": True}, "kubelet's probes pass under default deny"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.partition(",")[0],
)
def test_fault_is_found(fake, wanted, quick, faults, expected) -> None:
    for name, value in faults.items():
        setattr(fake.faults, name, value)
    assert any(expected in name for name in failures(wanted, quick))


def test_silence_on_a_broken_path_is_no_proof(fake, wanted, quick) -> None:
    fake.faults.no_route = True
    found = failures(wanted, quick)
    assert "pods reach each other (TCP, UDP, ICMP), across hosts" in found
    observed = found["default deny blocks, across hosts"].observed
    assert "it did not connect without a policy either" in observed
    assert "default deny blocks, same host" not in found


def test_silence_of_a_dead_server_is_no_proof(fake, wanted, quick) -> None:
    fake.faults.server_dies = True
    observed = failures(wanted, quick)["default deny blocks, same host"].observed
    assert "the server does not answer itself either" in observed


def test_late_effect_is_measured(fake, wanted, quick) -> None:
    fake.faults.delay_s = 0.2
    results = run(wanted, {}, lambda _: None, quick)
    taken = {result.name: result.seconds for result in results}
    assert 0.15 < taken["default deny blocks, same host"] < 0.4
    assert 0.15 < taken["change admits the new peer, across hosts"] < 0.4


def test_evidence_tells_policy_pods_and_hosts(fake, wanted, quick) -> None:
    fake.faults.any_source = True
    evidence = yaml.safe_load(
        failures(wanted, quick)["another label stays blocked, same host"].evidence
    )
    assert evidence["flow"].startswith("other@node1 -> backend-1@node1 tcp/8080")
    assert [p["metadata"]["name"] for p in evidence["policies"]] == ["deny", "allow"]
    assert evidence["source"]["labels"]["role"] == "other"
    assert evidence["target"]["host"] == "node1 (198.18.0.11)"
    assert evidence["hosts"] == {"node1": ["no connection to this host"]}


def test_pods_that_cannot_start_are_named(fake, wanted, quick) -> None:
    fake.faults.image_missing = True
    with pytest.raises(SmokeFailed, match="frontend on node1: ErrImageNeverPull") as caught:
        run(wanted, {}, lambda _: None, quick)
    assert caught.value.failures == ("pods start",)
    assert fake.objects == {}


def test_no_node_is_ready(fake, wanted, quick) -> None:
    fake.nodes = ()
    with pytest.raises(SmokeFailed, match="has no node that is ready"):
        run(wanted, {}, lambda _: None, quick)


def test_api_server_that_is_not_there(fake, wanted, quick) -> None:
    text = wanted.kubeconfig.read_text().replace(fake.url, "https://127.0.0.1:9")
    wanted.kubeconfig.write_text(text)
    with pytest.raises(InstallerError, match="the API server does not answer at"):
        run(wanted, {}, lambda _: None, quick)
