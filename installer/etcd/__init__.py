"""etcd's members: which there are, and which there should be.

membership   pure: who begins, who joins, who is let go, in which order, and what is refused
asking       one question to a controller, and reading its answer
"""

from installer.etcd.membership import Member, Membership, Seen, decide

__all__ = ["Member", "Membership", "Seen", "decide"]
