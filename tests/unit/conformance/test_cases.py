"""The format of conformance cases: what is read, what is refused and in which words."""

import gzip
import json
from pathlib import Path

import pytest

from romana.conformance.cases import OPEN, Cell, ConformanceError, Sides, load, parse
from romana.objects import Protocol

DATA = Path(__file__).parents[2] / "conformance" / "data" / "networkpolicy-v1.json.gz"
TCP, UDP, SCTP = Protocol


def step(**changes):
    pods = [
        {"ns": "x", "name": "a", "ip": "192.168.1.11", "labels": {"pod": "a"}},
        {"ns": "y", "name": "b", "ip": "192.168.2.12", "labels": None},
    ]
    return {
        "policies": None,
        "namespaces": {"x": {"ns": "x"}, "y": None},
        "pods": pods,
        "probe": {"AllAvailable": True, "PortProtocol": None, "Mode": "service-name"},
        "n": 24,
        "blocked": [["x/a", "y/b", "TCP", 81, "a", "b"], ["x/a", "x/a", "UDP", 80, "b", "b"]],
        **changes,
    }


def read(*steps):
    content = [{"description": "d", "tags": ["t"], "steps": list(steps)}]
    return parse(json.dumps(content).encode(), "cases.json")


def named(port, protocol="TCP"):
    return {"AllAvailable": False, "PortProtocol": {"Protocol": protocol, "Port": port}}


def test_the_shared_data_is_whole():
    cases = load(DATA)
    steps = [each for case in cases for each in case.steps]
    assert (len(cases), len(steps), sum(each.cells for each in steps)) == (115, 131, 62565)
    assert sum(len(each.blocked) for each in steps) == 11497


def test_what_is_not_listed_must_connect_and_no_pod_is_judged_against_itself():
    ((case,),) = (read(step()),)
    (only,) = case.steps
    expected = dict(only.judged())
    assert (case.description, case.tags, only.cells) == ("d", ("t",), 24)
    assert len(expected) == 12
    blocked = Cell("x/a", "y/b", TCP, 81)
    assert expected.pop(blocked) == Sides(ingress=True, egress=False)
    assert set(expected.values()) == {OPEN}
    assert all(cell.source != cell.destination for cell in expected)
    assert only.namespaces == {"x": {"ns": "x"}, "y": {}}


def test_one_port_by_name_or_number():
    for probe in (named("serve-81-tcp"), named(81)):
        blocked = [["x/a", "y/b", "TCP", probe["PortProtocol"]["Port"], "b", "a"]]
        (case,) = read(step(probe=probe, n=4, blocked=blocked))
        assert case.steps[0].ports == ((TCP, 81),)
        assert list(case.steps[0].blocked) == [Cell("x/a", "y/b", TCP, 81)]


def test_another_address_is_another_pod_and_other_labels_are_not():
    a, other = read(step(), step())[0].steps[0].pods
    assert a.identity != other.identity
    assert a.title == "x/a"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n": 23}, "2 pods and 6 ports make no 23 cells"),
        ({"probe": named("serve-81-udp"), "n": 4}, "no pod serves a port `serve-81-udp` of TCP"),
        ({"blocked": [["x/a", "y/c", "TCP", 80, "b", "a"]]}, "which the step does not probe"),
        ({"blocked": [["x/a", "y/b", "TCP", 82, "b", "a"]]}, "which the step does not probe"),
        ({"blocked": [["x/a", "y/b", "TCP", 80, "b", "?"]]}, "not a file of conformance cases"),
        ({"pods": [{"ns": "x", "name": "a", "ip": "x"}], "n": 6}, "pod x/a: 'x' does not appear"),
        (
            {"pods": [{"ns": "x", "name": n, "ip": "10.0.0.1"} for n in "ab"], "n": 24},
            "two pods have the same name or address",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_place(changes, complaint):
    with pytest.raises(ConformanceError) as caught:
        read(step(), step(**changes))
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("cases.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cases.json", b"["),
        ("cases.json", b"\xff"),
        ("cases.json", b"{}"),
        ("cases.json.gz", b"not gzip"),
        ("cases.json.gz", gzip.compress(b"[]")[:-6]),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConformanceError, match=name):
        load(tmp_path / name)
    with pytest.raises(ConformanceError, match="No such file"):
        load(tmp_path / "absent.json")
