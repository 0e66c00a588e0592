"""Adding and removing policies: in a directory, in the API, by the command."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from romana.authoring import command
from romana.authoring.place import meant
from romana.cli import main
from romana.sources import kubeconfig
from romana.sources.kinds import BETA_POLICY, POLICY, ROMANA_POLICY

ENTRY = {"peers": [{"peer": "any"}], "rules": [{"protocol": "any"}]}
POLICY_FILE = {
    "apiVersion": "romana.io/v1",
    "kind": "RomanaPolicy",
    "metadata": {"name": "web"},
    "spec": {"direction": "ingress", "applied_to": [{"tenant": "shop"}], "ingress": [ENTRY]},
}
NETWORK_POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "shop"},
    "spec": {"podSelector": {}},
}
OLD = {
    "securitypolicies": [
        {
            "name": "Old One",
            "direction": "ingress",
            "applied_to": [{"tenant": "shop"}],
            "peers": [{"peer": "any"}],
            "rules": [{"protocol": "tcp", "ports": [80]}],
        }
    ]
}


@pytest.fixture(autouse=True)
def no_host(monkeypatch, tmp_path):
    """This machine's own configuration is of no account."""
    monkeypatch.setattr(command, "AGENT_CONFIG", tmp_path / "no-agent.yml")
    monkeypatch.setattr(kubeconfig, "_OWN", ())
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def directory(tmp_path):
    made = tmp_path / "manifests"
    made.mkdir()
    return made


def run(*arguments, stdin=None):
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written(path, *documents):
    path.write_text(yaml.safe_dump_all(documents))
    return path


def changed(**spec):
    return {**POLICY_FILE, "spec": {**POLICY_FILE["spec"], **spec}}


def test_a_policy_is_added_changed_and_removed_in_a_directory(tmp_path, directory):
    file, source = written(tmp_path / "p.yaml", POLICY_FILE), f"files:{directory}"
    kept = directory / "romanapolicy_web.yaml"
    assert (
        run("add", file, "--source", source).output == f"RomanaPolicy web: added in {directory}\n"
    )
    assert yaml.safe_load(kept.read_text()) == POLICY_FILE
    assert "RomanaPolicy web: unchanged" in run("add", file, "--source", source).output
    written(file, changed(ingress=[]))
    assert "RomanaPolicy web: changed" in run("add", file, "--source", source).output
    assert yaml.safe_load(kept.read_text())["spec"]["ingress"] == []
    removed = run("remove", "romana.web.ingress", "--source", source)
    assert removed.output == f"romana.web.ingress: removed from {directory}\n"
    assert list(directory.iterdir()) == []


def test_a_file_that_holds_the_policy_alone_is_used_whatever_its_name(tmp_path, directory):
    kept = directory / "mine.json"
    kept.write_text(json.dumps(POLICY_FILE))
    file = written(tmp_path / "p.yaml", changed(ingress=[]))
    assert run("add", file, "--source", f"files:{directory}", "--json").exit_code == 0
    assert json.loads(kept.read_text())["spec"]["ingress"] == []
    assert list(directory.iterdir()) == [kept]


def test_files_with_other_objects_are_left_to_their_owner(tmp_path, directory):
    kept = written(directory / "all.yaml", POLICY_FILE, NETWORK_POLICY)
    before = kept.read_text()
    file = written(tmp_path / "p.yaml", changed(ingress=[]))
    for arguments in (("add", file), ("remove", "web"), ("remove", "shop/deny")):
        result = run(*arguments, "--source", f"files:{directory}")
        assert result.exit_code == 1
        assert result.output == f"Error: {kept}: holds other objects as well; edit it there\n"
    assert kept.read_text() == before


def test_network_policies_and_the_originals_are_added_too(tmp_path, directory):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(OLD, indent="\t"))
    result = run("add", old, "--source", f"files:{directory}")
    assert "RomanaPolicy old-one: `Old One` becomes `old-one`" in result.output
    assert "RomanaPolicy old-one: added" in result.output
    result = run("add", "-", "--source", f"files:{directory}", stdin=json.dumps(NETWORK_POLICY))
    assert "NetworkPolicy shop/deny: added" in result.output
    assert sorted(each.name for each in directory.iterdir()) == [
        "networkpolicy_shop_deny.yaml",
        "romanapolicy_old-one.yaml",
    ]
    assert run("remove", "shop/deny", "--source", f"files:{directory}").exit_code == 0


def test_faults_are_one_line_each_with_their_path_and_nothing_is_added(tmp_path, directory):
    broken = changed(direction="in", applied_to=[{}])
    file = written(tmp_path / "p.yaml", NETWORK_POLICY, broken)
    result = run("add", file, "--source", f"files:{directory}")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{file}: RomanaPolicy web: spec.applied_to[0]: must have one of tenant, namespace or "
        "namespaces (`namespaces: {}` is all)",
        f"{file}: RomanaPolicy web: spec.direction: must be ingress or egress",
    ]
    assert list(directory.iterdir()) == []


def test_check_changes_nothing(tmp_path):
    result = run("add", written(tmp_path / "p.yaml", POLICY_FILE), "--check")
    assert result.output == "RomanaPolicy web: sound\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no policy"),
        ("kind: Pod\napiVersion: v1\n", "document 1: is v1 Pod; wanted is RomanaPolicy of romana"),
        (json.dumps({**NETWORK_POLICY, "metadata": {"name": "../x"}}), "`../x` is not a name"),
        ("a: b\n", "document 1: is neither a manifest nor a policy of the original Romana"),
        ("a: [", "p.yaml:2"),
        (
            "kind: RomanaPolicy\napiVersion: romana.io/v1\nmetadata: x\n",
            "metadata: Expected `object`",
        ),
        (
            json.dumps({**NETWORK_POLICY, "spec": {"ingress": [{"from": [{}]}]}}),
            "spec.ingress[0].from",
        ),
    ],
)
def test_what_is_no_policy_is_told_in_a_line(tmp_path, text, message):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    result = run("add", file, "--check")
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_policy_that_is_not_there_is_told_with_the_nearest(directory):
    written(directory / "p.yaml", POLICY_FILE)
    result = run("remove", "wed", "--source", f"files:{directory}")
    assert result.output == f"Error: {directory} has no policy `wed`; did you mean `web`?\n"
    assert "cannot be read" in run("remove", "web", "--source", "files:/nowhere").output
    for name in ("../web", "a/../b/c", "shop/../deny", "", "Web"):
        result = run("remove", name, "--source", f"files:{directory}")
        assert f"`{name}` is no policy's name" in result.output


def test_where_policies_are_kept_is_said_or_follows_from_the_agents_configuration(
    tmp_path, directory, monkeypatch
):
    file = written(tmp_path / "p.yaml", POLICY_FILE)
    assert "it is not known where policies are kept" in run("add", file).output
    assert "must be files:DIRECTORY" in run("add", file, "--source", "x").output
    both = run("add", file, "--source", "files:/x", "--kubeconfig", file)
    assert "not both" in both.output
    config = tmp_path / "agent.yml"
    monkeypatch.setattr(command, "AGENT_CONFIG", config)
    config.write_text(f"source: files:{directory}\n")
    assert f"added in {directory}" in run("add", file).output
    config.write_text("sauce: x\n")
    assert "`sauce` is not a known key" in run("add", file).output
    config.write_text("kubernetes: {server: https://x}\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert f"{tmp_path / 'none'}: cannot be read: No such file" in run("add", file).output


@pytest.mark.parametrize(
    ("name", "kinds", "key"),
    [
        ("web", (ROMANA_POLICY,), ("", "web")),
        ("web.v1", (ROMANA_POLICY,), ("", "web.v1")),
        ("romana.web.v1.egress", (ROMANA_POLICY,), ("", "web.v1")),
        ("shop/deny", (POLICY, BETA_POLICY), ("shop", "deny")),
        ("kube.shop.deny.v1.ingress", (POLICY, BETA_POLICY), ("shop", "deny.v1")),
    ],
)
def test_names_are_an_operators_or_those_that_are_shown(name, kinds, key):
    assert meant(name) == (kinds, key)
