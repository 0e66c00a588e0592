"""A container image, imported into containerd from a tar."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from installer.resources.base import Change, Payload
from installer.resources.records import departure
from installer.resources.shell import digest_of, quote, short

_LABEL = "romana.sha256"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in containerd. The tar's digest is kept as a label of the image: it goes when the
    image goes.

    Args:
        ref: full name with registry and tag, as the tar names it: "romana.local/pause:3.9".
        source: the tar (docker-archive or OCI layout) on the operator's machine, which may be
            compressed with gzip.
        sha256: of `source`.
        namespace: containerd's; the kubelet's is k8s.io.
        snapshotter: containerd's, if not its default.
    """

    ref: str
    _: KW_ONLY
    source: Path
    sha256: str
    namespace: str = "k8s.io"
    snapshotter: str = ""

    @property
    def id(self) -> str:
        """`image:REF`."""
        return f"image:{self.ref}"

    @property
    def digest(self) -> str:
        """Covers the tar's digest."""
        return digest_of(self.id, self.sha256)

    def probe(self) -> str:
        """Prints the recorded digest, "unlabelled" for an image of other origin, or absent."""
        return (
            "command -v ctr >/dev/null 2>&1 || { echo absent; exit 0; }\n"
            f"seen=$(ctr -n {quote(self.namespace)} images ls {quote(f'name=={self.ref}')} "
            "2>/dev/null) || :\n"
            'case "$seen" in\n'
            f"*{_LABEL}=*)\n"
            f"seen=${{seen#*{_LABEL}=}}\n"
            'echo "${seen%%[!0-9a-f]*}" ;;\n'
            # Below the heading.
            "*'\n'?*) echo unlabelled ;;\n"
            "*) echo absent ;;\nesac\n"
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Imported again if it is not the image that this tar holds."""
        there = seen.strip()
        if there == self.sha256:
            return None
        carried = "image.tar.gz" if self.source.name.endswith(".gz") else "image.tar"
        ctr = f"ctr -n {quote(self.namespace)} images"
        own = f" --snapshotter {quote(self.snapshotter)}" if self.snapshotter else ""
        unpack = "gzip -dc image.tar.gz" if carried.endswith(".gz") else "cat image.tar"
        return Change(
            before=short(there),
            after=short(self.sha256),
            repair=(
                f"echo '{self.sha256}  {carried}' | sha256sum -c --quiet -\n"
                f"{unpack} | {ctr} import{own} -\n"
                f"{ctr} label {quote(self.ref)} {_LABEL}={self.sha256}\n"
            ),
            files=(Payload(name=carried, source=self.source),),
            timeout_s=300,
        )

    def left(self) -> str:
        """Whether an image of this name bears our label."""
        labelled = f"(\n{self.probe()}) | grep -qx '[0-9a-f][0-9a-f]*'"
        return f"if {labelled}; then echo ours; fi\n"

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed from containerd, under all the names that it has there."""
        ctr = f"ctr -n {quote(self.namespace)} images"
        digest = f"{ctr} ls {quote(f'name=={self.ref}')} | awk 'NR == 2 {{ print $3 }}'"
        names = f"{ctr} ls | awk -v digest=\"$digest\" '$3 == digest {{ print $1 }}'"
        return departure(seen, f"digest=$({digest})\n{names} | xargs -r {ctr} rm --sync\n")
