"""What hosts and API server are asked. Nothing here changes anything or prints a key; what an
answer may hold all the same is taken out afterwards."""

from __future__ import annotations

from installer.cluster import Host
from installer.status.reading import services

LINES = 2000
"""Of each log."""

_SYSTEM = {
    "system/release": "cat /etc/os-release; uname -a; uptime; date -u",
    "system/memory": "cat /proc/meminfo /proc/swaps",
    "system/disk": "df -P; df -Pi; cat /proc/mounts",
    "system/processes": "ps -eo pid,ppid,etime,rss,pcpu,stat,comm --sort=-rss",
    "system/cgroups": "cat /proc/cgroups; ls /sys/fs/cgroup",
    "system/kernel-log": f"dmesg | tail -n {LINES}",
    "system/modules": "cat /proc/modules",
    "system/packages": "dpkg-query -W",
    "system/listening": "ss -lntu",
    "system/forwarding": "cd /proc/sys/net\n"
    "for each in ipv4/ip_forward ipv4/conf/*/rp_filter ipv6/conf/all/forwarding\n"
    'do [ ! -r "$each" ] || echo "$each $(cat "$each")"; done',
    "system/versions": "for each in kubelet kube-apiserver etcd containerd runc\n"
    'do ! command -v "$each" >/dev/null || echo "$each: $("$each" --version | head -n 1)"\ndone\n'
    "ls -l /opt/romana /opt/romana/releases",
    "system/files": "ls -ln /etc/kubernetes /etc/kubernetes/* /etc/containerd /etc/romana",
}
_NETWORK = {
    "network/links": "ip -d -s link",
    "network/addresses": "ip address",
    "network/routes": "ip rule; ip route show table all; ip -6 route show table all",
    "network/neighbours": "ip neighbour",
    "network/nftables": "nft -a list ruleset",
    "network/iptables": "iptables-save -c; ip6tables-save -c",
    "network/ipset": "ipset list",
    "network/connections": "cat /proc/sys/net/netfilter/nf_conntrack_count\n"
    "conntrack -L | head -n 5000",
}
_ROMANA = {
    "romana/agent.yml": "cat /etc/romana/agent.yml",
    "romana/cni": "ls -l /etc/cni/net.d /opt/cni/bin; cat /etc/cni/net.d/*.conflist",
    **{
        f"romana/{name}.json": f"romana {words} --json"
        for name, words in {
            "status": "status",
            "endpoints": "endpoint list",
            "routes": "route list",
            "blocks": "block list",
            "policies": "policy list",
            "verify": "verify",
        }.items()
    },
}
_CONTAINERS = {
    f"containers/{kind}": f"ctr -n k8s.io {kind} list" for kind in ("containers", "tasks", "images")
}

API = {
    name: f"{path}/{name}"
    for path, names in {
        "/api/v1": ("nodes", "namespaces", "pods", "services", "endpoints", "events"),
        "/apis/networking.k8s.io/v1": ("networkpolicies",),
        "/apis/romana.io/v1": ("romanapolicies", "addressblocks"),
    }.items()
    for name in names
}
"""Of the API server: names in the archive, and paths. Never secrets, nor config maps."""


def of_host(host: Host) -> dict[str, str]:
    """Of a host: names in the archive, and the POSIX sh that prints what is there."""
    logs = {f"services/{name}.log": _log(name) for name in services(host)}
    return {**_SYSTEM, **_NETWORK, **_ROMANA, **_CONTAINERS, **logs}


def _log(service: str) -> str:
    """State and log of a service under whatever starts it."""
    return (
        "if command -v systemctl >/dev/null\n"
        f"then systemctl status --no-pager -n 0 {service}.service || :\n"
        f"journalctl --no-pager -n {LINES} -u {service}.service\n"
        f"else status {service} || :\ntail -n {LINES} /var/log/upstart/{service}.log\nfi"
    )
