"""`romana matrix` and `romana diff` without an agent, from a directory of manifests."""

import json

import pytest
from click.testing import CliRunner

from romana.cli import main

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIP: 10.112.0.1, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIP: 10.112.0.2, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: "away"}
status: {podIP: 10.112.0.3, phase: Running}
"""
GUARD = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guard, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"""


@pytest.fixture
def directory(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "objects.yaml").write_text(OBJECTS)
    (tmp_path / "guard.yaml").write_text(GUARD)
    return tmp_path


def romana(directory, *words):
    source = ("--source", f"files:{directory / 'manifests'}")
    return CliRunner().invoke(main, [*words, *source])


def test_a_change_is_told_before_it_is_made_and_exits_with_2(directory):
    done = romana(directory, "diff", "-f", str(directory / "guard.yaml"), "--json")
    assert done.exit_code == 2
    answer = json.loads(done.output)
    assert answer["opened"] == []
    assert answer["connections"] is None
    cut = [(row["source"], row["destination"], row["traffic"]) for row in answer["cut"]]
    assert cut == [
        ("away/other", "shop/db", "all"),
        ("shop/web", "shop/db", "all but TCP 5432"),
        ("anywhere (IPv4)", "shop/db", "all"),
    ]
    shown = romana(directory, "diff", "-f", str(directory / "guard.yaml"))
    assert shown.exit_code == 2
    assert "Would cut:" in shown.output
    assert "Would open:" not in shown.output


def test_what_changes_nothing_exits_with_0_and_removing_it_is_the_reverse(directory):
    (directory / "manifests" / "guard.yaml").write_text(GUARD)
    same = romana(directory, "diff", "-f", str(directory / "guard.yaml"))
    assert (same.exit_code, same.output) == (
        0,
        "Nothing would change: every connection is judged as before.\n",
    )
    gone = romana(directory, "diff", "--remove", "-f", str(directory / "guard.yaml"), "--json")
    assert gone.exit_code == 2
    assert len(json.loads(gone.output)["opened"]) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: [", "guard.yaml:"),
        ("", "holds no object that Romana uses"),
        (GUARD.replace("port: 5432", "port: 5432, protocol: ICMP"), "NetworkPolicy shop/guard"),
    ],
)
def test_a_file_that_cannot_be_honoured_is_refused_in_one_line(directory, text, said):
    (directory / "guard.yaml").write_text(text)
    done = romana(directory, "diff", "-f", str(directory / "guard.yaml"))
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1


def test_what_is_not_there_cannot_be_removed(directory):
    done = romana(directory, "diff", "--remove", "-f", str(directory / "guard.yaml"))
    assert done.exit_code == 1
    assert "there is no NetworkPolicy shop/guard to remove" in done.output


def test_the_matrix_names_who_reaches_whom(directory):
    (directory / "manifests" / "guard.yaml").write_text(GUARD)
    done = romana(directory, "matrix", "--namespace", "shop")
    assert done.exit_code == 0
    rows = [line.split() for line in done.output.splitlines()]
    assert ["shop/db", "shop/web", "TCP", "5432"] in rows


def test_a_namespace_without_pods_is_named(directory):
    done = romana(directory, "matrix", "--namespace", "shoop")
    assert done.exit_code == 1
    assert "there are no pods with addresses in namespace shoop" in done.output


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names(directory):
    (directory / "manifests" / "guard.yaml").write_text(GUARD)
    page = directory / "page.html"
    assert romana(directory, "matrix", "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert "http" not in text
    assert "src=" not in text
    assert ">5432</td>" in text
    assert "shop/web to shop/db: TCP 5432" in text


def test_an_explanation_needs_no_agent(directory):
    (directory / "manifests" / "guard.yaml").write_text(GUARD)
    ends = ("--from", "away/other", "--to", "shop/db:10.112.0.1", "--port", "5432")
    done = romana(directory, "explain", *ends)
    assert done.exit_code == 0
    assert "denied: isolated by NetworkPolicy shop/guard; no rule matched" in done.output
    assert "no kernel was asked" in done.output
    answer = json.loads(romana(directory, "explain", *ends, "--json").output)
    assert (answer["admitted"], answer["agrees"], answer["kernel"]) == (False, True, None)
    wrong = romana(directory, "explain", "--from", "away/nobody", "--to", "shop/db")
    assert wrong.exit_code == 1
    assert "there is no pod away/nobody" in wrong.output


def test_of_one_namespace_nothing_is_said_of_others_among_themselves(directory):
    done = romana(directory, "matrix", "--namespace", "away")
    told = {line.split()[0] for line in done.output.splitlines()[1:] if not line[0].isspace()}
    assert told == {"away/other"}
    page = directory / "page.html"
    romana(directory, "matrix", "--namespace", "away", "--html", str(page))
    assert "shop/web to shop/db: not looked at" in page.read_text()
    assert "shop/web to away/other: all" in page.read_text()
