"""The configuration: strict, with the nearest key."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from romana.agent.config import DEFAULT_PATH, load, parse
from romana.agent.errors import ConfigError

FULL = """
node: node1
source: kubernetes
kubernetes:
  servers: ["https://198.18.0.10:6443", "https://198.18.0.11:6443"]
  ca: /etc/romana/pki/ca.crt
  certificate: /etc/romana/pki/agent.crt
  key: /etc/romana/pki/agent.key
pods:
  cidrs: [10.112.0.0/12, "fd00::/48"]
  block_size: 26
  zone: b
  zones: [a, b]
masquerade: true
no_masquerade: [192.0.2.0/24]
mtu: 1400
gateways: [198.18.0.1]
node_address: 198.18.0.11
socket: /run/romana/agent.sock
metrics: 127.0.0.1:9607
state: /var/lib/romana
log_denied: {enabled: true, namespaces: [shop], group: 83}
"""


def test_everything_that_can_be_said(tmp_path):
    path = tmp_path / "agent.yml"
    path.write_text(FULL)
    config = load(path, {"node": "other"})
    assert config.name == "other"
    assert config.kubernetes.address().servers[1] == "https://198.18.0.11:6443"
    assert config.pods.layout().shares("b")[0] == ip_network("10.120.0.0/13")
    assert config.unmasqueraded == (ip_network("192.0.2.0/24"),)
    assert config.next_hops == (ip_address("198.18.0.1"),)
    assert config.node_addresses == (ip_address("198.18.0.11"),)
    assert (config.mtu, config.directory) == (1400, None)
    denied = config.log_denied
    assert (denied.enabled, denied.namespaces, denied.group) == (True, ("shop",), 83)


def test_defaults_need_no_file():
    config = parse({"source": "files:/somewhere"}, "x")
    assert str(config.directory) == "/somewhere"
    assert (config.mtu, config.masquerade, config.node_addresses) == ("auto", True, ())
    assert config.name


def test_the_default_file_may_be_absent_and_no_other(tmp_path):
    if not DEFAULT_PATH.exists():
        assert load(DEFAULT_PATH).source == "kubernetes"
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "agent.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: a", "`nodes` is not a known key; did you mean `node`?"),
        (
            "pods: {blocksize: 3}",
            "pods: `blocksize` is not a known key; did you mean `block_size`?",
        ),
        ("log_denied: {group: 0}", "log_denied: `group` must be a number from 1 to 65535"),
        (
            "log_denied: {groups: 8}",
            "log_denied: `groups` is not a known key; did you mean `group`",
        ),
        ("zzz: 3", "`zzz` is not a known key"),
        ("pods: {cidrs: [10.0.0.1/8]}", "pods: 10.0.0.1/8 has host bits set"),
        ("pods: {cidrs: []}", "pods: `cidrs` must hold at least one prefix"),
        ("pods: {zone: x}", "pods: zone `x` is not one of default"),
        ("pods: {cidrs: [10.0.0.0/26]}", "pods: 10.0.0.0/26 holds"),
        ("mtu: large", "mtu: "),
        ("masquerade: 3", "masquerade: Expected `bool`, got `int`"),
        ("no_masquerade: [all]", "'all' does not appear to be"),
        ("node_address: here", "'here' does not appear to be"),
        ("source: etcd", "`source` must be"),
        ("source: files:relative", "`source` must be"),
        ("- a", "must be a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "agent.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_is_needed_for_kubernetes():
    with pytest.raises(ConfigError, match="name at least one server"):
        parse({}, "x").kubernetes.address()
