"""Ubuntu 14.04 as a directory: a root file system with dash and this machine's GNU tools, without
Python and without systemd, in which scripts run under chroot as they would over SSH.

Every tool is behind a guard that knows the options which its release of 2014 had (`OPTIONS`), and
refuses others as that release would. What would reach beyond the directory, or is not there in it
(mount, modprobe, apt, the network), is a small stand-in of sh.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from options_2014 import ONE_DASH, OPTIONS

from installer.hosts.connection import PREPARE, UNPACK
from installer.hosts.session import Line, Output, Sent, pack
from installer.resources.base import Payload

PROGRAMS = Path(__file__).parent / "programs"
PACKAGE_TOOLS = Path(__file__).parents[1] / "unit/installer/host_programs"
SHARED = ("apt-get", "dpkg", "dpkg-query")

GUARD = r"""#!/bin/sh
# Only what this program knew in 2014.
name=${0##*/}
refuse() {
  echo "$name $1, as in: $name $all" >>/run/forbidden
  echo "$name: invalid option -- $1" >&2
  exit 64
}
all=$*
read -r known <"/real/options/$name"
[ "${known%%:::*}" = "$known" ] || { words=yes; known=${known#:::}; }
known=" $known "
skip=no
for word; do
  if [ $skip = yes ]; then skip=no; continue; fi
  case $word in
    --) break ;;
    -) ;;
    --*)
      option=${word%%=*}
      case $known in
        *" $option "*) ;;
        *" $option: "*) [ "$option" != "$word" ] || skip=yes ;;
        *) refuse "$option" ;;
      esac ;;
    -*)
      rest=${word#-}
      if [ "${words-}" ]; then
        option=${rest%%=*}
        case $known in
          *" $option "*) ;;
          *" $option: "*) [ "$option" != "$rest" ] || skip=yes ;;
          *) refuse "-$option" ;;
        esac
        continue
      fi
      while [ "$rest" ]; do
        tail=${rest#?}
        letter=${rest%"$tail"}
        case $known in
          *" $letter: "*) [ "$tail" ] || skip=yes; tail= ;;
          *" $letter "*) ;;
          *) refuse "-$letter" ;;
        esac
        rest=$tail
      done ;;
    # What follows are the options of the program that it starts.
    *) [ "$name" != xargs ] || break ;;
  esac
done
exec "/real/$name" "$@"
"""


class OldRoot:
    """A root file system.

    Args:
        root: an empty directory.
        kernel: what `uname -r` says.
    """

    def __init__(self, root: Path, kernel: str = "4.4.0-148-generic") -> None:
        self.root = root
        for name in (
            *(
                "bin",
                "sbin",
                "dev",
                "etc/init",
                "etc/apt",
                "lib",
                "proc/sys/kernel",
                "real/options",
            ),
            *(
                "run",
                "tmp",
                "usr/sbin",
                "usr/local/bin",
                "var/lib/dbus",
                "var/tmp",
                "sys/fs/cgroup",
            ),
        ):
            (root / name).mkdir(parents=True)
        (root / "usr/bin").symlink_to("../bin")
        for name, number in (("null", (1, 3)), ("urandom", (1, 9))):
            os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(*number))
            (root / "dev" / name).chmod(0o666)
        self._copy("sh", _which("dash"))
        for name in C_LIBRARY:
            for library in libraries(_which("dash")):
                if (found := Path(library).with_name(name)).exists():
                    self.library(str(found))
        for name, options in OPTIONS.items():
            self._guard(name, options)
        for name, text in _files(kernel).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (root / "sbin/init").chmod(0o755)

    def put(self, path: str, text: str, mode: int = 0o755) -> None:
        """Put a file into the root."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    @property
    def forbidden(self) -> tuple[str, ...]:
        """What guards refused."""
        path = self.root / "run/forbidden"
        return tuple(path.read_text().splitlines()) if path.exists() else ()

    def _guard(self, name: str, options: str) -> None:
        own = PROGRAMS / name
        shared = PACKAGE_TOOLS / name
        if own.exists() or name in SHARED:
            shutil.copy(own if own.exists() else shared, self.root / "real" / name)
            (self.root / "real" / name).chmod(0o755)
        else:
            self._copy(name, _which({"awk": "mawk"}.get(name, name)), "real")
        prefix = ":::" if name in ONE_DASH else ""
        (self.root / "real/options" / name).write_text(f"{prefix}{options}\n")
        guard = self.root / "bin" / name
        guard.write_text(GUARD)
        guard.chmod(0o755)

    def _copy(self, name: str, program: str, directory: str = "bin") -> None:
        """A program with the libraries that it is linked with."""
        shutil.copy(program, self.root / directory / name)
        for library in libraries(program):
            self.library(library)

    def library(self, library: str) -> None:
        """Put a library where the dynamic linker finds it."""
        target = self.root / library.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)


C_LIBRARY = ("libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1")
"""Parts of the C library that no program here may be linked with, and that every system has."""
ISOLATED = ("unshare", "--mount", "--net", "sh", "-c")
ISOLATED += ('mount -t proc proc "$1/proc" && exec chroot "$@"', "sh")
"""Instead of chroot: with a /proc, and a network, that are the root's own while a script runs."""


class ChrootSession:
    """A session on such a root: what `Connection` does over SSH, under chroot.

    Args:
        host: its name.
        root: where scripts run.
        enter: the words that enter a root.
    """

    def __init__(self, host: str, root: OldRoot, enter: Sequence[str] = ("chroot",)) -> None:
        self._host, self._root, self._trips = host, root.root, 1
        self._enter = enter

    @property
    def host(self) -> str:
        return self._host

    @property
    def round_trips(self) -> int:
        return self._trips

    def run(
        self,
        script: str,
        *,
        timeout_s: float = 60,
        files: Sequence[Payload] = (),
        on_line: Line | None = None,
        on_sent: Sent | None = None,
    ) -> Output:
        self._trips += 1
        text = f"{{\n{script}\n}}\n".encode()
        if files:
            _, pieces = pack([*files, Payload(name="script", content=script.encode())])
            text = b"".join(pieces)
        done = subprocess.run(
            [*self._enter, self._root, "/bin/sh", "-c", PREPARE + (UNPACK if files else "sh -s\n")],
            input=text,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        output = Output(
            status=done.returncode,
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
        )
        for line in output.stdout.splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]
        return output

    def close(self) -> None:
        """Nothing is open."""


@cache
def libraries(program: str) -> tuple[str, ...]:
    """What a program or a library is linked with, the dynamic linker included."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
    return tuple(dict.fromkeys(words))


def _which(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed here"
    return os.path.realpath(found)


def _files(kernel: str) -> dict[str, str]:
    return {
        "etc/os-release": 'NAME="Ubuntu"\nVERSION="14.04.6 LTS, Trusty Tahr"\nID=ubuntu\n'
        'VERSION_ID="14.04"\nPRETTY_NAME="Ubuntu 14.04.6 LTS"\n',
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "etc/group": "root:x:0:\n",
        "etc/mtab": "/dev/root / ext4 rw 0 0\n",
        "etc/init/cgroup-lite.conf": 'description "mount available cgroup filesystems"\n'
        "start on mounted MOUNTPOINT=/sys/fs/cgroup\n"
        "pre-start exec cp /run/cgroup-mounts /proc/mounts\n",
        "run/cgroup-mounts": "cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\n",
        "run/kernel": f"{kernel}\n",
        "sbin/init": "#!/bin/sh\necho 'init (upstart 1.12.1)'\n",
        "var/lib/dbus/machine-id": "5c0d1e6a9d3f4b0e8a7c6b5a49382716\n",
        "proc/mounts": "/dev/root / ext4 rw 0 0\n",
        "proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\npids\t1\t1\t1\n",
        "proc/filesystems": "nodev\tcgroup\n\text4\nnodev\toverlay\n",
        "proc/cpuinfo": "processor\t: 0\nprocessor\t: 1\n",
        "proc/meminfo": "MemTotal:        4046820 kB\nSwapTotal:             0 kB\n",
        "proc/sys/kernel/hostname": "c1\n",
        "proc/sys/net/ipv4/ip_forward": "0\n",
        "proc/sys/fs/inotify/max_user_instances": "128\n",
        "proc/sys/fs/inotify/max_user_watches": "8192\n",
    }
