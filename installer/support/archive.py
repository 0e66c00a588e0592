"""Writes what was collected into one file that only its owner can read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from installer.support.collecting import Collected
from romana.version import VERSION

_READ_ME = """\
What romana-install {version} collected of cluster {name}, {stamp} UTC.
Private keys, tokens and passwords were taken out, as were the values of environment variables
and the arguments of pods' containers. Names, addresses and labels are as they are.

hosts/NAME/    system, network, romana, containers, and the logs of services
api/           objects as the API server has them
operator/      inventory, journal and logs of the last runs

{gaps}
"""


def write(collected: Collected, path: Path, name: str, stamp: str) -> None:
    """Writes the archive, a tar.gz with one directory, whole or not at all.

    Args:
        collected: texts by name.
        path: where; it must not be there yet.
        name: of the cluster.
        stamp: the present time as text, UTC.

    Raises:
        OSError: it cannot be written there.
    """
    gaps = (
        "\n".join(["Could not be had:", *collected.gaps])
        if collected.gaps
        else "Nothing is missing."
    )
    read_me = _READ_ME.format(version=VERSION, name=name, stamp=stamp, gaps=gaps)
    top = path.name.removesuffix(".tar.gz")
    new = path.with_name(f".{path.name}.new")
    try:
        with (
            os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as tar,
        ):
            for each, text in {"README": read_me, **collected.texts}.items():
                content = text.encode()
                member = tarfile.TarInfo(f"{top}/{each}")
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
