"""Everything a host can hold. Roles yield these values; the engine probes, compares and repairs
them."""

from __future__ import annotations

from installer.resources.archive import Archive
from installer.resources.base import Change, Gone, Leaving, Payload, Resource
from installer.resources.binary import Binary
from installer.resources.certificate import Certificate
from installer.resources.condition import Condition
from installer.resources.directory import Absent, Directory
from installer.resources.file import File
from installer.resources.image import Image
from installer.resources.ledger import Ledger
from installer.resources.manifest import Manifest
from installer.resources.module import Module
from installer.resources.package import Package
from installer.resources.service import Init, Service
from installer.resources.symlink import Symlink
from installer.resources.sysctl import Sysctl
from installer.resources.trace import Trace
from installer.resources.user import User

__all__ = [
    "Absent",
    "Archive",
    "Binary",
    "Certificate",
    "Change",
    "Condition",
    "Directory",
    "File",
    "Gone",
    "Image",
    "Init",
    "Leaving",
    "Ledger",
    "Manifest",
    "Module",
    "Package",
    "Payload",
    "Resource",
    "Service",
    "Symlink",
    "Sysctl",
    "Trace",
    "User",
]
