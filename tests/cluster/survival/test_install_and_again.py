"""The main job: from nothing to a proven cluster; again, nothing; and what differs, told and
mended."""

import base64
import json
import subprocess
import tarfile
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from documented import Page

from installer.pki.certificates import expires

PAGE = Page("operations.md", section="Watch for drift")
CERTIFICATES = Page("operations.md", section="Certificates")
HOSTS = ("controller", "node1", "node2")
QUICK = ("--set", "cluster.smoke=false")
STATE = "cd {}; find . -type f ! -path './logs/*' ! -name lock | sort | xargs sha256sum"
HELD = (
    "find /etc /opt/romana /usr/local /var/lib/kubelet/config.yaml /var/lib/romana/installer"
    " -type f -printf '%p %T@ %s %m %u\\n' | sort | sha256sum"
)


def test_one_command_makes_a_proven_cluster(first_run):
    operator, ended = first_run
    assert ended.code == 0, ended.err
    checks = ended.of("CheckResult")
    assert len(checks) > 15
    assert [check["name"] for check in checks if not check["passed"]] == []
    for host in HOSTS:
        recap = ended.recap[host]
        assert recap["changed"] > 10
        assert recap["failed"] == recap["unreachable"] == 0
    assert ended.stopped == ""


def test_the_operators_own_kubectl_works_through_a_loopback_port(installed):
    path = installed.run("kubeconfig").out.strip()
    assert path == str(installed.state / "kubeconfig")
    assert "https://127.0.0.1:" in installed.kubectl("cluster-info")
    nodes = json.loads(installed.kubectl("get", "nodes", "-o", "json"))["items"]
    assert tuple(sorted(node["metadata"]["name"] for node in nodes)) == HOSTS
    for node in nodes:
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "True"


@CERTIFICATES.mark
def test_a_kubeconfig_to_hand_out_works_and_ends_by_itself(installed, tmp_path):
    told = installed.run("kubeconfig", "--for", "8h")
    CERTIFICATES.ran("romana-install kubeconfig --for 8h", told.code)
    assert told.code == 0
    guest = tmp_path / "guest.conf"
    guest.write_text(told.out)
    words = (installed.kubectl_program, f"--kubeconfig={guest}", "get", "nodes", "-o", "name")
    seen = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert f"node/{HOSTS[0]}" in seen.stdout.split(), seen.stderr
    identity = yaml.safe_load(told.out)["users"][0]["user"]["client-certificate-data"]
    ends = expires(base64.b64decode(identity))
    assert ends - datetime.now(timezone.utc) <= timedelta(hours=8)
    assert told.err == f"valid until {ends:%Y-%m-%d %H:%M} UTC\n"


def test_status_and_smoke_test_say_that_all_is_well(installed):
    status = installed.run("status", "--json")
    answer = json.loads(status.out)
    assert (status.code, answer["problems"]) == (0, [])
    assert "all is well" in installed.run("status").out
    tested = installed.run("test", "--json")
    assert tested.code == 0, tested.err
    assert all(check["passed"] for check in tested.of("CheckResult"))


def test_what_is_collected_for_support_holds_no_secret_of_the_cluster(installed, tmp_path):
    told = installed.run("support", "-o", str(tmp_path))
    assert told.code == 0, told.err
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        texts = {
            member.name.partition("/")[2]: tar.extractfile(member).read()
            for member in tar.getmembers()
        }
    for host in HOSTS:
        assert json.loads(texts[f"hosts/{host}/romana/verify.json"])["equal"]
        assert b"table inet romana" in texts[f"hosts/{host}/network/nftables"]
    nodes = json.loads(texts["api/nodes.json"])["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(HOSTS)
    missing = texts["README"].decode().partition("Could not be had:")[2].splitlines()
    assert [line for line in missing if line.startswith("api")] == []
    keys = [path.read_bytes().split() for path in installed.state.glob("pki/**/*.key")]
    lines = {line for key in keys for line in key if len(line) > 16}
    everything = b"\n".join(texts.values())
    assert len(lines) > 20
    assert [line for line in lines if line in everything] == []


def test_a_second_run_changes_nothing(installed):
    before = {host: installed.on(host, HELD) for host in HOSTS}
    again = installed.sandbox()
    assert again.code == 0
    assert again.results("changed", "failed", "skipped", "unreachable") == {}
    for host in HOSTS:
        recap = again.recap[host]
        assert recap["changed"] == recap["failed"] == 0
        assert 0 < recap["round_trips"] <= 4
    print(f"a run with nothing to do: {again.of('Recap')[-1]['seconds']:.2f} s")
    assert {host: installed.on(host, HELD) for host in HOSTS} == before


def test_check_of_a_cluster_as_wanted_finds_nothing(installed):
    checked = installed.sandbox("--check")
    assert checked.code == 0
    assert not checked.of("Recap")[-1]["pending"]


@pytest.fixture
def tampered(installed):
    """A file is edited and a service stopped on one host, a secret edited on another."""
    installed.on(
        "node1", "echo '# by hand' >>/etc/romana/agent.yml; systemctl disable --now -q kube-proxy"
    )
    installed.on("node2", "echo oops >>/etc/romana/agent.key")
    yield
    assert installed.sandbox(*QUICK).code == 0


@PAGE.mark
def test_check_tells_exactly_what_a_run_then_does(installed, tampered):
    before = {host: installed.on(host, HELD) for host in HOSTS}
    checked = installed.sandbox("--check", "--diff")
    PAGE.ran("romana-install sandbox --check --json", checked.code)
    assert checked.code == 2
    assert {host: installed.on(host, HELD) for host in HOSTS} == before
    assert "inactive" in installed.on("node1", "systemctl is-active kube-proxy", check=False)
    told = checked.results("changed")
    assert {key[::2] for key in told} == {
        ("node1", "file:/etc/romana/agent.yml"),
        ("node1", "service:romana-agent"),
        ("node1", "service:kube-proxy"),
        ("node2", "file:/etc/romana/agent.key"),
        ("node2", "service:romana-agent"),
    }
    diff = told["node1", "network", "file:/etc/romana/agent.yml"]["diff"]
    assert diff.startswith("--- /etc/romana/agent.yml")
    assert "\n-# by hand\n" in diff + "\n"
    secret = told["node2", "network", "file:/etc/romana/agent.key"]
    assert "PRIVATE" not in json.dumps(secret)
    assert "oops" not in json.dumps(secret)
    first = checked.of("Recap")[-1]["since"]
    assert {result["since"] for result in told.values()} == {first} != {""}
    assert installed.sandbox("--check").of("Recap")[-1]["since"] == first

    done = installed.sandbox(*QUICK)
    assert done.code == 0, done.err
    parts = ("outcome", "before", "after", "diff")
    assert {key: [result[part] for part in parts] for key, result in told.items()} == {
        key: [result[part] for part in parts] for key, result in done.results("changed").items()
    }
    assert installed.sandbox("--check").code == 0


def test_check_leaves_this_machine_as_it_is(installed):
    command = STATE.format(installed.state)

    def held():
        return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout

    before = held()
    assert installed.sandbox("--check").code == 0
    assert held() == before


def test_limit_touches_only_the_hosts_named(installed):
    for host in ("node1", "node2"):
        installed.on(host, "echo '# by hand' >>/etc/crictl.yaml")
    limited = installed.sandbox("--limit", "node1", *QUICK)
    assert limited.code == 0
    assert set(limited.recap) == {"node1"}
    assert {key[0] for key in limited.results("changed")} == {"node1"}
    assert "by hand" in installed.on("node2", "cat /etc/crictl.yaml")
    assert {key[0] for key in installed.sandbox(*QUICK).results("changed")} == {"node2"}
