"""How a cluster is: hosts, services, versions, certificates, nodes, agents.

One round trip to each host and three requests to the API server; nothing is changed.
"""

from installer.status.gathering import status
from installer.status.rendering import as_json, render
from installer.status.values import ClusterStatus

__all__ = ["ClusterStatus", "as_json", "render", "status"]
