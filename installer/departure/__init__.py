"""How a node leaves a cluster that goes on without it: emptied, then forgotten.

`settle` empties nodes as disruption budgets allow, and forgets them afterwards: their objects,
their address blocks, and the copies of their certificates here.
"""

from installer.departure.settle import Departure, Patience, empty, forget, registered

__all__ = ["Departure", "Patience", "empty", "forget", "registered"]
