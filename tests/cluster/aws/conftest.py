"""A region of AWS on this machine: moto answers the API, its instances are hosts of the lab with
the instances' addresses, and the lab's router is the VPC's.

A zone's subnet is a segment. The router holds exactly the routes of the VPC's route table, and
drops what the source/destination check of an interface drops. Commands run where both the API and
the instances can be reached; the installer is told nothing of any of this.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from desk import Desk, Ended, bare_system, fetch, on
from documented import Page

from installer.cluster import Cluster
from installer.commands import clusters
from installer.commands.clusters import DEFAULT, Wish
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import leftovers
from installer.platforms.sandbox.content import APT_SOURCE
from installer.platforms.sandbox.leftovers import HOSTS, prefix_of
from installer.platforms.sandbox.machine import Machine
from installer.platforms.sandbox.storage import ensure_storage
from romana.lab.exclusive import hold
from romana.lab.namespaces import Lab
from romana.lab.naming import Segment, interface_name

_CLOUD = Path(__file__).parents[2] / "unit/installer/platforms/aws/cloud.py"
_spec = importlib.util.spec_from_file_location("aws_cloud", _CLOUD)
assert _spec
assert _spec.loader
_cloud = importlib.util.module_from_spec(_spec)
sys.modules["aws_cloud"] = _cloud
_spec.loader.exec_module(_cloud)

NAME = "pytest-aws"
VPC = IPv4Network("198.18.64.0/18")
ROUTES = "99"
"""The protocol number of the VPC's routes at the router."""
SETTINGS = {
    "cluster.kubernetes": "v1.20.2",
    "cluster.package_repository": json.dumps(APT_SOURCE),
    # The machine's own release is what hosts of the lab are.
    "aws.image": "debian-12",
    "network.hosts": str(VPC),
    "aws.access": "private",
    "aws.ssh_from": "[198.18.0.0/15]",
}


@dataclass
class Region:
    """The region, and the operator in front of it."""

    lab: Lab
    cloud: object
    desk: Desk
    image: Path
    packages: Path
    machines: dict[str, Machine] = field(default_factory=dict)
    """By instance id."""
    _pool: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)
    _boots: list[Future] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def launched(self, id_: str) -> None:
        """An instance was launched: a host boots."""
        instance = self.cloud.backend.get_instance(id_)
        subnet = self.cloud.backend.get_subnet(instance.subnet_id)
        zone = instance.placement.zone
        segment = Segment(name=zone[-2:], network=IPv4Network(subnet.cidr_block))
        name = next(tag["value"] for tag in instance.get_tags() if tag["key"] == "romana.io/name")
        self.machines[id_] = Machine(
            lab=self.lab,
            hostname=name,
            address=IPv4Address(instance.private_ip),
            directory=HOSTS / NAME / name,
            segment=self.lab.segment(segment),
        )
        self._boots.append(self._pool.submit(self._boot, id_))

    def _boot(self, id_: str) -> None:
        machine, instance = self.machines[id_], self.cloud.backend.get_instance(id_)
        machine.ensure(self.image, self.packages, ensure_key(self.desk.home / "hypervisor"))
        public = self.cloud.backend.key_pairs[instance.key_name].material_public.decode()
        text = base64.b64decode(str(instance.user_data)).decode()
        self.on(machine, cloud_init(text, public))

    def terminated(self, id_: str) -> None:
        """An instance was terminated: its host is gone."""
        machine = self.machines.pop(id_)
        self._boots.append(self._pool.submit(machine.remove))

    def settled(self) -> None:
        """Waits for boots and removals; raises what they raised."""
        while self._boots:
            self._boots.pop().result(timeout=120)

    def changed(self) -> None:
        """Something was changed in AWS: the router follows."""
        with self._lock:
            self._route()
            self._check()

    def _route(self) -> None:
        wanted = {}
        for prefix, id_ in self.routes().items():
            if id_ in self.machines:
                wanted[prefix] = str(self.machines[id_].address)
        there = self.router()
        for prefix in there.keys() - wanted.keys():
            self.lab.ip("route", "del", prefix, "proto", ROUTES)
        for prefix, via in wanted.items():
            if there.get(prefix) != via:
                self.lab.ip("route", "replace", prefix, "via", via, "proto", ROUTES)

    def router(self) -> dict[str, str]:
        """What the router holds: prefix and next hop."""
        lines = self.lab.ip("route", "show", "proto", ROUTES).splitlines()
        return {line.split()[0]: line.split()[2] for line in lines}

    def routes(self) -> dict[str, str]:
        """What the VPC's route tables say: prefix and instance."""
        return {
            route.destination_cidr_block: route.interface.instance.id
            for table in self.cloud.backend.route_tables.values()
            for route in table.routes
            if route.interface is not None and route.interface.instance is not None
        }

    def _check(self) -> None:
        """Source/destination check, in the frames of each interface's port."""
        rules = {"input": "", "forward": "", "output": ""}
        for id_, machine in self.machines.items():
            if self.cloud.backend.get_instance(id_).source_dest_check:
                port = interface_name("v", machine.hostname)
                rules["input"] += f'iifname "{port}" ip saddr != {machine.address} drop\n'
                rules["output"] += f'oifname "{port}" ip daddr != {machine.address} drop\n'
        rules["forward"] = rules["input"] + rules["output"]
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n{text}}}\n"
            for hook, text in rules.items()
        )
        text = f"table bridge vpc\ndelete table bridge vpc\ntable bridge vpc {{\n{chains}}}\n"
        self.lab.run("nft", "-f", "-", stdin=text)

    on = staticmethod(on)

    def type(self, line: str, *options: str) -> Ended:
        """A command of the page, with options that it needs here."""
        return self.desk.type(line, *options)

    @property
    def state(self) -> Path:
        """State directory of the cluster."""
        return self.desk.state_of("aws")

    @property
    def settings(self) -> tuple[str, ...]:
        """Options that make the example's inventory true here."""
        return settings()

    @property
    def cluster(self) -> Cluster:
        """The cluster as its state directory knows it."""
        with patch.dict(os.environ, self.desk.environment):
            return clusters.known(Wish(name="aws"))

    def aws(self, *options: str) -> Ended:
        """`romana-install aws`."""
        return self.type("romana-install aws --yes", "--json", *settings(), *options)


def settings() -> tuple[str, ...]:
    """The example's inventory, as it is true here."""
    return tuple(word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}"))


def account(endpoint: str) -> dict[str, str]:
    """The account's credentials, and where AWS is."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def cloud_init(user_data: str, public: str) -> str:
    """Sh text that does on a host what cloud-init does with this user data and key pair."""
    content = yaml.safe_load(user_data)
    keys = content["ssh_keys"]
    key, line = shlex.quote(public.strip()), shlex.quote(keys["ed25519_public"])
    return f"""
hostname {content["hostname"]}
useradd -m -s /bin/bash admin
echo 'admin ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
mkdir -m 700 /home/admin/.ssh
echo {key} >/home/admin/.ssh/authorized_keys
chown -R admin: /home/admin/.ssh
printf %s {shlex.quote(keys["ed25519_private"])} >/etc/ssh/ssh_host_ed25519_key
echo {line} >/etc/ssh/ssh_host_ed25519_key.pub
rm /root/.ssh/authorized_keys
systemctl restart ssh
"""


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """An empty account in a region of its own."""
    home = tmp_path_factory.mktemp("operator")
    image, packages = bare_system()
    said = tuple(f"{key}={value}" for key, value in SETTINGS.items())
    fetch(home, "aws", DEFAULT / "aws.yml", said)
    with hold(f"{prefix_of(NAME)}-tests"):
        leftovers.remove(NAME)
        try:
            ensure_storage(HOSTS / NAME)
            lab = Lab(prefix_of(NAME), IPv4Network("198.18.0.0/24")).ensure()
            lab.ip("link", "set", "lo", "up")
            cloud = _cloud.Cloud()
            with _cloud.serving(cloud, lambda *a, **k: lab.inside(lambda: _server(a, k))) as url:
                desk = Desk(place=lab, home=home, page=Page("aws.md"), variables=account(url))
                found = Region(lab, cloud, desk, image, packages)
                cloud.reset()
                cloud.launched, cloud.terminated = found.launched, found.terminated
                cloud.changed = found.changed
                yield found
                found._pool.shutdown()
        finally:
            leftovers.remove(NAME)
        assert not leftovers.take(NAME)


def _server(arguments: tuple, options: dict):
    return _cloud.make_server(*arguments, **options)
