"""The inventory: YAML in, a Cluster out, or every problem at once with its file, line and key.

document   the YAML with lines and key paths; `--set`
kinds      what single values may be
schema     which keys there are
soundness  what values must satisfy together
loading    joins them
"""

from installer.inventory.loading import Inventory, Request, lists_hosts, load, section_of

__all__ = ["Inventory", "Request", "lists_hosts", "load", "section_of"]
