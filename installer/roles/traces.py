"""What each role's programs leave on a host while they run: known only to be taken off again.

Everything is found by a name or a number that is ours alone, or Kubernetes' own; nothing else is
listed for removal. Rules of iptables go in one transaction for each table, as they came.
"""

from __future__ import annotations

from collections.abc import Iterator

from installer.resources import Leaving, Trace
from installer.resources.ledger import HOME, TABLES
from installer.roles.role import Target

_KUBELET, _AGENT, _CONTAINERD = (
    f"service:{name}" for name in ("kubelet", "romana-agent", "containerd")
)
_CTR = "ctr --timeout 30s -n k8s.io"
_OWN_GROUPS = "find /sys/fs/cgroup -depth -type d -name 'kubepods*' 2>/dev/null || :\n"


def pods(target: Target) -> Iterator[Leaving]:
    """Of the kubelet, once it has stopped and while the runtime still runs."""
    yield Trace(
        "containers of pods",
        end_of=_KUBELET,
        found=f"command -v ctr >/dev/null || exit 0\n{_CTR} containers ls -q 2>/dev/null || :\n",
        removal=(
            f"{_CTR} tasks ls -q | xargs -r -n 1 -P 8 {_CTR} tasks rm -f >/dev/null 2>&1 || :\n"
            f"{_CTR} tasks ls -q | xargs -r -n 1 -P 8 {_CTR} tasks rm -f >/dev/null\n"
            f"{_CTR} containers ls -q | xargs -r {_CTR} containers rm\n"
        ),
        timeout_s=300,
    )
    yield _mounts("volumes of pods", _KUBELET, "/var/lib/kubelet/")
    yield Trace(
        "control groups of pods",
        end_of=_KUBELET,
        found=_OWN_GROUPS,
        removal=(
            "! command -v systemctl >/dev/null || systemctl stop kubepods.slice 2>/dev/null || :\n"
            "find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null "
            "|| :\n"
        ),
    )


def network(target: Target) -> Iterator[Leaving]:
    """Of the agent, the plugin, the service proxy and the kubelet, once all of them have stopped.
    Interfaces go first: what has none sends nothing that the rules would have to judge."""
    yield Trace(
        "interfaces of pods",
        end_of=_AGENT,
        found="ip -o link show | sed -n 's/^[0-9]*: \\(rom[0-9a-f]\\{12\\}\\)[@:].*/\\1/p'\n",
        removal=(
            "for name in $(ip -o link show | "
            "sed -n 's/^[0-9]*: \\(rom[0-9a-f]\\{12\\}\\)[@:].*/\\1/p'); do\n"
            'ip link del "$name" 2>/dev/null || :\ndone\n'
        ),
    )
    yield Trace(
        "network namespaces of pods",
        end_of=_AGENT,
        found="ls -d /run/netns/cni-* 2>/dev/null || :\n",
        removal=(
            "for path in /run/netns/cni-*; do\n"
            'umount -l "$path" 2>/dev/null || :\nrm -f "$path"\ndone\n'
            "rmdir /run/netns 2>/dev/null || :\n"
        ),
    )
    yield Trace(
        "routes to pods",
        end_of=_AGENT,
        found="for family in -4 -6; do ip $family route show proto 82 2>/dev/null || :; done\n",
        removal="for family in -4 -6; do ip $family route flush proto 82 2>/dev/null || :; done\n",
    )
    yield Trace(
        "nftables' table romana",
        end_of=_AGENT,
        found="command -v nft >/dev/null || exit 0\n"
        "nft list tables 2>/dev/null | grep -x 'table inet romana' || :\n",
        removal="nft delete table inet romana\n",
    )
    yield _chains()
    yield Trace(
        "ipset's sets",
        end_of=_AGENT,
        found="command -v ipset >/dev/null || exit 0\n"
        "ipset list -n 2>/dev/null | grep '^ROMANA-' || :\n",
        removal="ipset list -n | grep '^ROMANA-' | xargs -r -n 1 ipset destroy\n",
    )
    yield _empty_tables()
    yield _connections(target)
    state = f"{HOME}/agent.lock {HOME}/leases.db* {HOME}/log-denied.json"
    yield Trace(
        "the agent's state",
        end_of=_AGENT,
        found=f"ls -d {state} 2>/dev/null || :\n",
        removal=f"rm -f {state}\n",
    )


def schedule(target: Target) -> Iterator[Leaving]:
    """Of snapshots: systemd goes on with a timer whose file is gone."""
    timer = "romana-snapshot.timer"
    yield Trace(
        "the timer of snapshots",
        found="command -v systemctl >/dev/null || exit 0\n"
        f"systemctl is-enabled {timer} 2>/dev/null | grep -x enabled || :\n"
        f"systemctl is-active {timer} 2>/dev/null | grep -x active || :\n",
        removal=f"systemctl disable --quiet --now {timer}\n"
        "systemctl stop romana-snapshot.service\n"
        "systemctl reset-failed romana-snapshot.service 2>/dev/null || :\n",
    )


def runtime(target: Target) -> Iterator[Leaving]:
    """Of the runtime, once it has stopped: what it could not end itself, and mounts."""
    shims = (
        "for process in /proc/[0-9]*; do\n"
        "tr '\\0' ' ' <$process/cmdline 2>/dev/null | "
        "grep -q '^[^ ]*containerd-shim.* -namespace k8s\\.io ' && echo \"${process#/proc/}\"\n"
        "done || :\n"
    )
    yield Trace(
        "processes of containers",
        end_of=_CONTAINERD,
        found=shims,
        removal=f"for shim in $({shims}); do\n"
        'for child in $(cat "/proc/$shim/task/"*/children 2>/dev/null); do\n'
        'kill -9 "$child" 2>/dev/null || :\ndone\nkill -9 "$shim" 2>/dev/null || :\ndone\n',
    )
    yield _mounts("mounts of containers", _CONTAINERD, "/run/containerd/", "/var/lib/containerd/")


def _mounts(name: str, end_of: str, *below: str) -> Trace:
    """Mount points below directories; the deepest are unmounted first."""
    paths = " || ".join(f'index($2, "{path}") == 1' for path in below)
    listed = f"awk '{paths} {{ print $2 }}' /proc/mounts"
    return Trace(
        name,
        end_of=end_of,
        found=f"{listed}\n",
        removal=f"{listed} | sort -r | while read -r path; do\n"
        'umount "$path" 2>/dev/null || umount -l "$path"\ndone\n',
    )


_TAKE_OFF = r"""
function mine(chain) {
  return chain ~ /^(KUBE|ROMANA)-/ || chain in ports || (chain ~ /^CNI-HOSTPORT-/ && !others)
}
{ line[NR] = $0 }
/^-A CNI-HOSTPORT-DNAT / { if (index($0, "name: \\\"romana\\\"")) ports[$NF] = 1; else others = 1 }
END {
  for (n = 1; n <= NR; n++) {
    if (line[n] ~ /^\*/) { table = line[n]; flush = rules = drop = "" }
    else if (line[n] ~ /^:/) {
      chain = substr(line[n], 2); sub(/ .*/, "", chain)
      if (mine(chain)) { flush = flush ":" chain " - [0:0]\n"; drop = drop "-X " chain "\n" }
    } else if (line[n] ~ /^-A /) {
      count = split(line[n], word, " "); to = ""
      for (i = 3; i < count; i++) if (word[i] == "-j" || word[i] == "-g") to = word[i + 1]
      if (mine(to) && !mine(word[2])) rules = rules "-D" substr(line[n], 3) "\n"
    } else if (line[n] == "COMMIT" && (flush rules) != "") {
      printf "%s\n%s%s%sCOMMIT\n", table, flush, rules, drop
    }
  }
}
"""
"""From what iptables-save prints to what iptables-restore takes: our chains emptied, what leads to
them from others' removed, and then they."""


def _chains() -> Trace:
    """Chains of the agent, of Kubernetes, and of the portmap plugin for our network."""
    plan = f"awk '{_TAKE_OFF}'"
    each = 'for tool in iptables ip6tables; do\ncommand -v "$tool-save" >/dev/null || continue\n'
    return Trace(
        "iptables' chains",
        end_of=_AGENT,
        found=f'{each}"$tool-save" 2>/dev/null | {plan} | sed -n "s/^-[XD]/$tool &/p"\ndone\n',
        removal=f'{each}"$tool-save" | {plan} | "$tool-restore" --noflush\ndone\n',
    )


def _empty_tables() -> Trace:
    """iptables over nftables makes its tables at first use, and leaves them. Those that were not
    there before and hold nothing are removed."""
    listed = (
        f"command -v nft >/dev/null && [ -e {TABLES} ] || exit 0\n"
        "for family in ip ip6; do for name in filter mangle nat raw security; do\n"
        f'grep -qx "table $family $name" {TABLES} && continue\n'
        'text=$(nft list table "$family" "$name" 2>/dev/null) || continue\n'
        'echo "$text" | grep -qv -e "^table" -e "^[[:space:]]*chain [A-Z]* {$" -e "policy accept;" '
        '-e "^[[:space:]]*}$" -e "^$" -e "^#" || echo "$family $name"\ndone; done\n'
    )
    return Trace(
        "iptables' empty tables",
        # Empty once the chains are gone, also where the agent had ended in an earlier run.
        end_of=_chains().id,
        found=listed,
        removal=f"(\n{listed}) | while read -r family name; do\n"
        'nft delete table "$family" "$name"\ndone\n',
    )


def _connections(target: Target) -> Trace:
    """Entries of connection tracking that concern pods or services; they would live for days."""
    ranges = (target.cluster.network.pods, target.cluster.network.services)
    words = " ".join(
        f"'-{side[0]} {each.network_address} --mask-{side} {each.netmask}'"
        for each in ranges
        for side in ("src", "dst")
    )
    return Trace(
        "tracked connections of pods",
        end_of=_AGENT,
        # Not looked for afterwards: what others still send here makes new ones.
        found=":",
        removal=f"command -v conntrack >/dev/null || exit 0\nfor choice in {words}; do\n"
        "conntrack -D $choice >/dev/null 2>&1 || :\ndone\n",
    )
