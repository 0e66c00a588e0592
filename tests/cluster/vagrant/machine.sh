# The operator's machine of these tests: this one, with Vagrant, LXC and a network of its own, as
# process 1 of a process namespace and in a mount namespace. What is installed and written lies in
# layers over this machine's own files, and is gone with the process.
#
#   machine.sh DIRECTORY NETWORK-NAMESPACE INSTALL
#
# INSTALL is the command that the documentation gives for Vagrant and LXC.
# Prints "ready" when it can be entered.
set -eu
work=$1 network=$2 install=$3
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 romana "$work"
for layer in usr etc var; do
    mkdir -p "$work/$layer/upper" "$work/$layer/work"
    mount -t overlay overlay -o "lowerdir=/$layer,upperdir=$work/$layer/upper,workdir=$work/$layer/work" "/$layer"
done
# No service is started by its package: not here, with this machine's network.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
# Nobody answers apt's question, and nothing outlives this machine.
cat >/etc/apt/apt.conf.d/99romana <<'END'
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
DPkg::Options:: "--force-unsafe-io";
END
export DEBIAN_FRONTEND=noninteractive
$install >"$work/apt.log" 2>&1 || { apt-get -q update >"$work/apt.log" 2>&1 && $install >"$work/apt.log" 2>&1; } || {
    tail -20 "$work/apt.log"
    exit 1
}
# Containers' files lie on no overlay, on which containerd could not put its own.
mkdir -p "$work/containers" /var/lib/lxc
mount --bind "$work/containers" /var/lib/lxc
# LXC looks for its bridge in /sys/class/net, and for control groups where they are.
mkdir "$work/cgroup" "$work/home"
mount --rbind /sys/fs/cgroup "$work/cgroup"
nsenter "--net=$network" mount -t sysfs sysfs /sys
mount --rbind "$work/cgroup" /sys/fs/cgroup
mount -t tmpfs -o mode=0755 romana /run
# Nothing answers for names here, and nothing waits for it.
: >/etc/resolv.conf
echo ready
while :; do
    sleep 3600 &
    wait
done
