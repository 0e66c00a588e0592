"""Hosts on this very machine: real systemd, real SSH, real kernel, in namespaces.

A host is a network namespace of a lab, an overlay over a cached base root file system, and
systemd-nspawn, in a cgroup of its own. Everything of cluster NAME bears the prefix `romana-NAME`;
nothing is made in the root network namespace, and hosts have no way out.

    preconditions  root, Debian or Ubuntu, tools: what is missing is installed or named
    distribution   which release this machine runs, and where its packages come from
    image          the base root file system (debootstrap), made once per release
    packages       a local apt repository of what roles install, made once per image
    cgroups        one control group per host, in every hierarchy
    launch         the shell text that starts a host (pure)
    machine        one host: make, start, stop, reboot, remove
    publish        127.0.0.1:PORT to the API server
    leftovers      what a cluster holds on this machine; destroy removes it and compares
    platform       the `Platform` that the engine sees
"""
