"""`python -m romana.lab.host PREFIX NETWORK NAME ADDRESS [SEGMENT NETWORK]`: a host's namespace,
made anew, on the default segment or on another.

For supervisors of hosts, which boot again without the process that first made them: like a reboot,
it leaves no link, route, rule or connection of the previous life.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Network

from romana.lab.command import LabError
from romana.lab.namespaces import Lab
from romana.lab.naming import Segment


def main(words: list[str]) -> int:
    """Make it; 1 with a line on standard error if that fails."""
    prefix, network, name, address, *other = words
    lab = Lab(prefix, IPv4Network(network))
    segment = Segment(name=other[0], network=IPv4Network(other[1])) if other else lab.default
    try:
        lab.member(name).delete()
        lab.host(name, address, lab.segment(segment))
    except (LabError, OSError) as error:
        sys.stderr.write(f"network of {name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
