"""Images by release name: the newest that its publisher offers in the region."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from installer.errors import PlatformError
from installer.platforms.aws.api import Api
from installer.platforms.aws.errors import CloudError, is_absence

CANONICAL, DEBIAN = "099720109477", "136693071363"
"""Accounts of the publishers: anybody may publish an image under any name.
https://documentation.ubuntu.com/aws/, https://wiki.debian.org/Cloud/AmazonEC2Image"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is known of a release: who publishes it, how its images are called (`{}` is the
    architecture), who logs in, and the type of host key that its cloud-init can be given."""

    owner: str
    name: str
    user: str
    host_key: str = "ed25519"


RELEASES: Mapping[str, Release] = {
    "ubuntu-14.04": Release(
        owner=CANONICAL,
        name="ubuntu/images/hvm-ssd*/ubuntu-trusty-14.04-{}-server-*",
        user="ubuntu",
        host_key="ecdsa",  # its cloud-init, 0.7.5, knows no ed25519
    ),
    "ubuntu-22.04": Release(
        owner=CANONICAL, name="ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-{}-server-*", user="ubuntu"
    ),
    "ubuntu-24.04": Release(
        owner=CANONICAL, name="ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-{}-server-*", user="ubuntu"
    ),
    "debian-12": Release(owner=DEBIAN, name="debian-12-{}-*", user="admin"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: its root device's name and size are needed to have the disk encrypted."""

    id: str
    name: str
    root_device: str
    root_gb: int
    host_key: str


def architecture(instance_type: str) -> str:
    """What an instance type runs: the processor is in the name, after the generation: t4g, m7gd."""
    family = instance_type.partition(".")[0]
    return "arm64" if re.fullmatch(r"[a-z]+\d+g[a-z]*|a1", family) else "x86_64"


def find(api: Api, wanted: str, architecture: str) -> Image:
    """The image.

    Args:
        api: where.
        wanted: a release's name, or an id.
        architecture: "x86_64" or "arm64".

    Raises:
        PlatformError: the region offers none.
    """
    release = RELEASES.get(wanted)
    try:
        answer = api.call("ec2", "describe_images", _query(wanted, release, architecture))
    except CloudError as error:
        if not (is_absence(error.code) or error.code.startswith("InvalidAMIID")):
            raise
        raise _none(api.region, wanted, architecture) from error
    images: Sequence[Mapping[str, Any]] = answer["Images"]
    if not images:
        raise _none(api.region, wanted, architecture)
    newest = max(images, key=lambda raw: (raw.get("CreationDate", ""), raw["ImageId"]))
    if newest["Architecture"] != architecture:
        raise PlatformError(
            f"aws: image {wanted} is for {newest['Architecture']}, the instance type for "
            f"{architecture}",
            "change one of aws.image and instance_type",
        )
    return _image(newest, release)


def _query(wanted: str, release: Release | None, architecture: str) -> dict[str, Any]:
    if release is None:
        return {"ImageIds": [wanted]}
    word = "arm64" if architecture == "arm64" else "amd64"
    filters = {"name": release.name.format(word), "architecture": architecture}
    return {
        "Owners": [release.owner],
        "Filters": [
            {"Name": name, "Values": [value]}
            for name, value in (*filters.items(), ("state", "available"))
        ],
    }


def _image(raw: Mapping[str, Any], release: Release | None) -> Image:
    device = raw.get("RootDeviceName", "/dev/sda1")
    disks = {each["DeviceName"]: each.get("Ebs", {}) for each in raw.get("BlockDeviceMappings", ())}
    return Image(
        id=raw["ImageId"],
        name=raw.get("Name", ""),
        root_device=device,
        root_gb=int(disks.get(device, {}).get("VolumeSize", 0)),
        host_key=release.host_key if release else "ed25519",
    )


def _none(region: str, wanted: str, architecture: str) -> PlatformError:
    if wanted not in RELEASES:
        return PlatformError(
            f"aws: there is no image {wanted} in {region}", "images have another id in each region"
        )
    others = ", ".join(name for name in RELEASES if name != wanted)
    return PlatformError(
        f"aws: {region} offers no image of {wanted} for {architecture}",
        f"choose another (aws.image: {others}), or give an AMI's id; old releases are withdrawn",
    )
