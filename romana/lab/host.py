"""`python -m romana.lab.host PREFIX NETWORK NAME ADDRESS`: a host's namespace, made anew.

For supervisors of hosts, which boot again without the process that first made them: like a reboot,
it leaves no link, route, rule or connection of the previous life.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Network

from romana.lab.command import LabError
from romana.lab.namespaces import Lab


def main(words: list[str]) -> int:
    """Make it; 1 with a line on standard error if that fails."""
    prefix, network, name, address = words
    lab = Lab(prefix, IPv4Network(network))
    try:
        lab.member(name).delete()
        lab.host(name, address)
    except (LabError, OSError) as error:
        sys.stderr.write(f"network of {name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
