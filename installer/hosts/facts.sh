# What a host is, as lines of "key value"; parsed by gather.py. Changes nothing.
#
# Starting a program costs more than what it does here: the shell does what it can by itself, and
# one awk at the end makes lines of what the programs say.
say() { echo "$1 $2"; }
line() { if [ -r "$1" ]; then read -r said <"$1" || :; fi; }
say clock "$(date +%s.%N)"
say hostname "$(cat /proc/sys/kernel/hostname)"
said=''
line /etc/machine-id
if [ -z "$said" ]; then line /var/lib/dbus/machine-id; fi
say machine_id "$said"
(
  if [ -r /etc/os-release ]; then . /etc/os-release; fi
  echo "os_id ${ID:-}"
  echo "os_version ${VERSION_ID:-}"
)
kernel=$(uname -r)
say kernel "$kernel"
say architecture "$(uname -m)"
if [ -d /run/systemd/system ]; then
  say init systemd
elif /sbin/init --version 2>/dev/null | grep -q upstart; then
  say init upstart
else
  say init unknown
fi
say uid "$(id -u)"
for minor in 14 13 12 11 10 9 8 7 6 5 4; do
  if command -v "python3.$minor" >/dev/null 2>&1; then
    say python "3.$minor"
    break
  fi
done
df -Pk /var/lib | { read -r _ && while read -r _ _ _ free _; do say disk_free_kb "$free"; done; }
say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null || :)"
said=''
line /run/systemd/container
say container "$said"
# Where the running kernel's module directory is not to be seen (a container), nothing can be said
# against a module: what it lacks shows when it is used.
for module in overlay br_netfilter nf_tables nf_conntrack nft_chain_nat ip_tables ip_set veth; do
  if [ ! -d "/lib/modules/$kernel" ] || [ -d "/sys/module/$module" ] ||
    grep -qw "$module" /proc/filesystems || grep -qs "/$module\.ko" "/lib/modules/$kernel/modules.builtin" ||
    modprobe -nq "$module" 2>/dev/null; then
    say module "$module"
  fi
done
for file in /etc/cni/net.d/*; do
  if [ -e "$file" ]; then say cni "$file"; fi
done
{
  echo '= machine'
  cat /proc/cpuinfo /proc/meminfo
  echo '= address'
  ip -o -4 addr show
  echo '= link'
  ip -o link show
  echo '= route'
  ip -4 route show
  echo '= listening'
  ss -ltnp
  echo '= forward'
  iptables -S FORWARD
  echo '= chains'
  nft list chains
  echo '= package'
  dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\n' containerd etcd-server runc
} 2>/dev/null | awk '
  $1 == "=" { part = $2; next }
  part == "machine" && $1 == "processor" { cpus++ }
  part == "machine" && $1 == "MemTotal:" { print "memory_kb", $2 }
  part == "machine" && $1 == "SwapTotal:" { print "swap_kb", $2 }
  part == "address" { print "address", $2, $4 }
  part == "link" {
    name = $2
    sub(/[:@].*/, "", name)
    for (i = 3; i < NF; i++) if ($i == "mtu") print "mtu", name, $(i + 1)
  }
  # Routes of protocol 82 are the agent'"'"'s.
  part == "route" && $1 ~ /^[0-9]/ && !/ proto 82/ {
    device = ""
    for (i = 2; i < NF; i++) if ($i == "dev") device = $(i + 1)
    if (device != "") print "route", $1, device
  }
  part == "listening" && $1 == "LISTEN" && match($0, /\(\("[^"]*"/) {
    port = $4
    sub(/.*:/, "", port)
    print "listening", port, substr($0, RSTART + 3, RLENGTH - 4)
  }
  part == "forward" && $1 == "-P" { policy = $3 }
  part == "chains" && $1 == "table" { table = $2 " " $3 }
  part == "chains" && $1 == "chain" { chain = $2 }
  part == "chains" && / hook forward .*policy drop/ && table != "ip filter" {
    print "forward_drop", table, chain
  }
  part == "package" && $1 == "ii" { print "package", $2, $3 }
  END {
    print "cpus", cpus + 0
    print "forward_policy", policy
  }'
