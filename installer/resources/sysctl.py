"""Kernel parameters, now and after a reboot."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from installer.resources.base import Change, Payload
from installer.resources.records import STAMPS, departure, left, put_back
from installer.resources.shell import digest_of, install_file, quote, sha256, sum_of


@dataclass(frozen=True, slots=True)
class Sysctl:
    """Kernel parameters, kept in /etc/sysctl.d/90-NAME.conf.

    Args:
        name: of the file.
        settings: (key, value) with dots in the key: ("net.ipv4.ip_forward", "1").
        also: keys that programs of ours set by themselves: their values are recorded too, and come
            back when all is taken off.
    """

    name: str
    settings: tuple[tuple[str, str], ...]
    also: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`sysctl:NAME`."""
        return f"sysctl:{self.name}"

    @property
    def digest(self) -> str:
        """Covers all keys and values."""
        return digest_of(self.id, self.settings)

    @property
    def path(self) -> str:
        """Of the file that keeps them."""
        return f"/etc/sysctl.d/90-{self.name}.conf"

    @property
    def _values(self) -> str:
        return f"{STAMPS}/sysctls/{self.name}"

    @property
    def _content(self) -> bytes:
        return "".join(f"{key} = {value}\n" for key, value in self.settings).encode()

    def probe(self) -> str:
        """Prints the file's digest, then "key value" as the kernel has it."""
        return f'{sum_of(self.path)}echo "file $sum"\n' + "".join(
            # Not `read`: a shell reads a letter at a time, and such a file ends after the first.
            f"value=$(cat {_kernels(key)} 2>/dev/null) || value=absent\n"
            f'echo {quote(key)} "$value"\n'
            for key, _ in self.settings
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Sets those that differ, one by one, so that an unknown key is named."""
        there = {
            key: " ".join(value.split())
            for key, _, value in (line.partition(" ") for line in seen.splitlines())
        }
        wrong = [(key, value) for key, value in self.settings if there.get(key) != value]
        kept = there.get("file") == sha256(self._content)
        if not wrong and kept:
            return None
        before = [f"{key}={there.get(key, 'absent')}" for key, _ in wrong]
        after = [f"{key}={value}" for key, value in wrong]
        return Change(
            before=" ".join(before) or f"{self.path} differs",
            after=" ".join(after) or "as wanted",
            repair=self._keep()
            + install_file("settings", self.path, mode=0o644, owner="root:root")
            + "".join(_set(key, value) for key, value in wrong),
            files=(Payload(name="settings", content=self._content),),
        )

    def left(self) -> str:
        """Whether the file is ours, or values are recorded."""
        return f"{left(self.path)}[ ! -e {self._values} ] || echo values\n"

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """The file goes, and the values of before come back where they differ."""
        return departure(
            seen,
            f"{put_back(self.path)}"
            f"if [ -e {self._values} ]; then\n"
            "while read -r key value; do\n"
            'path=/proc/sys/$(echo "$key" | tr . /)\n'
            '[ -e "$path" ] || continue\n'
            '[ "$(cat "$path" | tr -s \'\\t \' \' \')" = "$value" ] || '
            f'echo "$value" >"$path"\ndone <{self._values}\nrm -f {self._values}\nfi\n',
        )

    def _keep(self) -> str:
        """Records each value once, before the first write."""
        keys = " ".join(quote(key) for key in (*(key for key, _ in self.settings), *self.also))
        return (
            f"mkdir -p {STAMPS}/sysctls\n: >>{self._values}\nfor key in {keys}; do\n"
            f'grep -q "^$key " {self._values} && continue\n'
            'path=/proc/sys/$(echo "$key" | tr . /)\n'
            '[ ! -r "$path" ] || echo "$key $(cat "$path" | tr -s \'\\t \' \' \')" '
            f">>{self._values}\ndone\n"
        )


def _set(key: str, value: str) -> str:
    path = _kernels(key)
    return (
        f"[ -e {path} ] || "
        f"{{ echo 'this kernel has no {key}: a module may be missing'; exit 1; }}\n"
        f"echo {quote(value)} >{path}\n"
    )


def _kernels(key: str) -> str:
    """The kernel's own file for a key, as a word of sh."""
    return quote(f"/proc/sys/{key.replace('.', '/')}")
