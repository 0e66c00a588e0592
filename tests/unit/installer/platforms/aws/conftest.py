"""moto's server and what is in front of it (`cloud.py`), and a cluster for it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.cluster import Cluster
from installer.inventory import Request, load
from installer.platforms.aws import Aws
from installer.platforms.aws.api import Api, Pace

_spec = importlib.util.spec_from_file_location("aws_cloud", Path(__file__).parent / "cloud.py")
assert _spec
assert _spec.loader
cloud_module = importlib.util.module_from_spec(_spec)
sys.modules["aws_cloud"] = cloud_module
_spec.loader.exec_module(cloud_module)

INVENTORY = Path(__file__).parents[5] / "inventories/aws.yml"
FAST = Pace(
    first_s=0.001,
    longest_s=0.01,
    throttled_s=5,
    visible_s=5,
    released_s=5,
    running_s=5,
)


@pytest.fixture(scope="session")
def endpoint() -> Iterator[tuple[object, str]]:
    """One server for all tests."""
    cloud = cloud_module.Cloud()
    with cloud_module.serving(cloud) as url:
        yield cloud, url


@pytest.fixture
def cloud(endpoint, monkeypatch: pytest.MonkeyPatch):
    """An empty account."""
    found, url = endpoint
    found.__init__()
    found.reset()
    for key, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[..., Cluster]:
    """The example's cluster, with settings laid over it."""

    def make(*settings: str, nodes: int = 2, drop: tuple[str, ...] = ()) -> Cluster:
        """`drop` are lines of the example that are left out."""
        text = INVENTORY.read_text()
        for key in drop:
            text = re.sub(rf"(?m)^ *{key.rpartition('.')[2]}: .*\n", "", text)
        (tmp_path / "aws.yml").write_text(text)
        request = Request(
            platform="aws",
            clusters=tmp_path,
            nodes=nodes,
            settings=("aws.ssh_from=[192.0.2.7/32]", *settings),
        )
        return load(tmp_path / "aws.yml", request).cluster

    return make


@pytest.fixture(scope="session")
def clients() -> dict[str, object]:
    """boto3's clients, which take longer to make than a whole cluster here."""
    return {}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, clients: dict[str, object]) -> Callable[..., Aws]:
    """A platform in a hurry, whose hosts do not answer SSH: nobody is there."""
    from installer.platforms.aws import login

    monkeypatch.setattr(login, "settle", lambda *_: None)

    def make(pace: Pace = FAST) -> Aws:
        platform = Aws(pace)
        platform._api = Api(region=cloud_module.REGION, pace=pace, _clients=clients)
        return platform

    return make
