"""What a bundle's manifest says."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from installer.errors import ArtifactError

FORMAT = 1
MANIFEST, SUM, SIGNATURE = "manifest.json", "manifest.json.sha256", "manifest.json.sig"
Kind = Literal[
    "kubernetes", "upstream", "romana", "image", "package", "wheel", "installer", "sandbox"
]
_NAME = re.compile(
    r"[A-Za-z0-9_%@=+~-][A-Za-z0-9._%@=+~-]*(/[A-Za-z0-9_%@=+~-][A-Za-z0-9._%@=+~-]*)*"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a bundle.

    Args:
        name: its path in the bundle.
        kind: what it is for.
        item: which one of its kind: a program, an image's reference, a package; for the Romana
            release the version of Python that it is for.
        version: of the item.
        size: in bytes.
        sha256: of the file as it is in the bundle.
        origin: where it is from, and what has been verified about it.
        plain_sha256: of the content, where the file is compressed and is used uncompressed too.
        system: the distribution's release that a package is for: "debian-12".
    """

    name: str
    kind: Kind
    item: str
    version: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str
    origin: str
    plain_sha256: str = ""
    system: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle holds.

    Args:
        format: of the bundle; another one is another installer's.
        romana: the version of Romana and of its installer.
        kubernetes: the version of its binaries.
        source: how those were had.
        architecture: of the hosts, as Kubernetes spells it.
        systems: the hosts' distribution releases that it has everything for: "debian-12".
        packages: whether it holds the distribution packages too.
        members: in the order of the file.
    """

    format: int
    romana: str
    kubernetes: str
    source: Literal["download", "build"]
    architecture: str
    systems: tuple[str, ...]
    packages: bool
    members: tuple[Member, ...]

    def of(self, kind: Kind) -> tuple[Member, ...]:
        """The members of one kind."""
        return tuple(member for member in self.members if member.kind == kind)


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON, fit to be read by people."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(text: bytes, origin: str) -> Manifest:
    """The manifest that a bundle's first member is.

    Args:
        text: the member's content.
        origin: the bundle, for messages.

    Raises:
        ArtifactError: it is no manifest, or one of another format.
    """
    try:
        number = msgspec.json.decode(text, type=_Numbered).format
        if number != FORMAT:
            raise ArtifactError(
                f"{origin}: is a bundle of format {number}, and this romana-install reads {FORMAT}",
                "use the romana-install that is in the bundle: installer/ and wheels/",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ArtifactError(
            f"{origin}: {MANIFEST} is not a bundle's: {error}", "get the bundle again"
        ) from None
    for member in manifest.members:
        if not (_NAME.fullmatch(member.name) and _DIGEST.fullmatch(member.sha256)):
            raise ArtifactError(
                f"{origin}: {MANIFEST} names a member that no bundle has: {member.name!r}",
                "get the bundle again",
            )
    names = [member.name for member in manifest.members]
    if len({MANIFEST, SUM, SIGNATURE, *names}) != len(names) + 3:
        raise ArtifactError(f"{origin}: {MANIFEST} names a member twice", "get the bundle again")
    return manifest


class _Numbered(msgspec.Struct):
    format: int
