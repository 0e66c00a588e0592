"""Images by release: the publisher's newest, or a clear no. Keys of new hosts, and prices."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from installer.errors import PlatformError
from installer.platforms.aws import identities, images, prices
from installer.platforms.aws.api import Api


@pytest.fixture
def api(cloud, aws, cluster) -> Api:
    return aws().api(cluster())


def test_the_publishers_newest_is_taken_and_nobody_elses(api) -> None:
    found = images.find(api, "ubuntu-24.04", "x86_64")
    assert found.name == "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250115"
    assert images.find(api, "debian-12", "x86_64").root_device == "/dev/xvda"
    assert images.find(api, "ubuntu-14.04", "x86_64").host_key == "ecdsa"


def test_an_image_may_be_named_by_its_id(api) -> None:
    assert images.find(api, "ami-00000000000000005", "x86_64").name.startswith("debian-12")


def test_a_region_without_the_image_is_told(api) -> None:
    with pytest.raises(PlatformError) as caught:
        images.find(api, "ubuntu-22.04", "arm64")
    assert caught.value.message == "aws: eu-central-1 offers no image of ubuntu-22.04 for arm64"
    assert "ubuntu-24.04, debian-12), or give an AMI's id" in caught.value.advice
    with pytest.raises(PlatformError, match="there is no image ami-0123 in eu-central-1"):
        images.find(api, "ami-0123", "x86_64")
    with pytest.raises(PlatformError, match="is for x86_64, the instance type for arm64"):
        images.find(api, "ami-00000000000000005", "arm64")


@pytest.mark.parametrize(
    ("type_", "wanted"),
    [
        ("t3.medium", "x86_64"), ("t4g.small", "arm64"), ("m7gd.large", "arm64"),
        ("g5.xlarge", "x86_64"), ("g5g.xlarge", "arm64"), ("a1.large", "arm64"),
        ("c6gn.large", "arm64"), ("m6i.large", "x86_64"),
    ],
)  # fmt: skip
def test_the_processor_is_in_the_types_name(type_: str, wanted: str) -> None:
    assert images.architecture(type_) == wanted


def test_an_identity_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    path = tmp_path / "hosts/node1"
    first = identities.ensure(path, "node1", "ed25519", delivered=True)
    assert identities.ensure(path, "node1", "ed25519", delivered=True) == first
    assert path.stat().st_mode & 0o777 == 0o600
    content = yaml.safe_load(first.user_data)
    assert first.user_data.startswith("#cloud-config\n")
    assert content["hostname"] == "node1"
    assert content["ssh_keys"]["ed25519_private"] == path.read_text()
    assert first.host_key == f"{content['ssh_keys']['ed25519_public']} romana-delivered"
    path.unlink()
    assert identities.ensure(path, "node1", "ed25519", delivered=True).nonce != first.nonce


def test_old_cloud_init_is_given_an_ecdsa_key(tmp_path: Path) -> None:
    found = identities.ensure(tmp_path / "node1", "node1", "ecdsa", delivered=True)
    assert found.host_key.startswith("ecdsa-sha2-nistp256 ")
    assert set(yaml.safe_load(found.user_data)["ssh_keys"]) == {"ecdsa_private", "ecdsa_public"}


def test_where_the_console_is_read_no_key_is_delivered(tmp_path: Path) -> None:
    found = identities.ensure(tmp_path / "node1", "node1", "ed25519", delivered=False)
    assert found.host_key == ""
    assert "ssh_keys" not in found.user_data


CONSOLE = """\
[   14.3] cloud-init[612]: Generating public/private ed25519 key pair.
ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----
ec2: 256 SHA256:Zm9vYmFy root@ip-10-0-0-10 (ED25519)
ec2: -----END SSH HOST KEY FINGERPRINTS-----
-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2VjZHNh root@ip-10-0-0-10
ssh-ed25519 AAAAC3NzaFIRST root@ip-10-0-0-10
-----END SSH HOST KEY KEYS-----
[   15.0] reboot
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAC3NzaSECOND root@ip-10-0-0-10
-----END SSH HOST KEY KEYS-----
"""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (CONSOLE, "ssh-ed25519 AAAAC3NzaSECOND"),
        (CONSOLE.split("[   15.0]")[0], "ssh-ed25519 AAAAC3NzaFIRST"),
        (CONSOLE.replace("ssh-ed25519", "ssh-dss"), ""),
        (CONSOLE.split("-----BEGIN SSH HOST KEY KEYS")[0], ""),
        ("", ""),
    ],
)
def test_the_console_says_the_host_key(text: str, key: str) -> None:
    assert identities.from_console(text) == key


def test_the_cost_is_worked_out_from_the_table() -> None:
    machine = prices.Machine(type="t3.medium", disk_gb=20, public=True)
    assert prices.told([machine] * 3, "eu-central-1") == (
        "about $0.17 an hour, $122 a month, without traffic and tax (list prices of 2025-06)"
    )


@pytest.mark.parametrize(
    ("type_", "region", "price"),
    [
        ("t3.micro", "us-east-1", "0.0104"), ("t3.2xlarge", "us-west-2", "0.3328"),
        ("t3.medium", "eu-central-1", "0.0480"), ("m5.xlarge", "eu-west-1", "0.214"),
        ("t4g.large", "us-east-1", "0.0672"),
    ],
)  # fmt: skip
def test_prices_are_as_published(type_: str, region: str, price: str) -> None:
    assert str(prices.per_hour(type_, region)) == price


def test_what_is_not_in_the_table_is_said_to_be_unknown() -> None:
    odd = prices.Machine(type="u-24tb1.metal", disk_gb=20, public=False)
    assert prices.told([odd], "eu-central-1").endswith(
        "; and the unknown price of u-24tb1.metal in eu-central-1 on top"
    )
    there = prices.Machine(type="t3.medium", disk_gb=20, public=False)
    assert "unknown price of disks, t3.medium in ap-south-1" in prices.told([there], "ap-south-1")
