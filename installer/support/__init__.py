"""What someone who is to help has to see of a cluster, in one archive without secrets."""

from installer.support.archive import write
from installer.support.collecting import Collected, collect

__all__ = ["Collected", "collect", "write"]
