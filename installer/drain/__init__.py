"""Empties nodes for maintenance as disruption budgets allow, and gives them back.

`selection` says which pods have to go (pure); `nodes` takes nodes out of service and back, and
remembers which of them were out already; `evict` asks the API to evict, and waits.
"""

from installer.drain.evict import Blocked, DrainFailed, drain
from installer.drain.nodes import cordon, emptied, held, soften, uncordon, unsoften
from installer.drain.selection import Pod, Selection, select

__all__ = [
    "Blocked",
    "DrainFailed",
    "Pod",
    "Selection",
    "cordon",
    "drain",
    "emptied",
    "held",
    "select",
    "soften",
    "uncordon",
    "unsoften",
]
