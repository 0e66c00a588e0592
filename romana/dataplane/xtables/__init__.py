"""The second backend: policies in iptables and ipset, with what Ubuntu 14.04 has of both.

renderer = Renderer(Settings(...))                     # pure; `tables.py` describes the layout
backend = Backend(await choose())                      # legacy or nft, as the host uses
await backend.apply(renderer.render(admission))        # and so on, as `nftables`' Backend
"""

from romana.dataplane.xtables.backend import Backend, left_over
from romana.dataplane.xtables.listing import Listing
from romana.dataplane.xtables.tables import Renderer, Tables
from romana.dataplane.xtables.variant import Variant, choose, variants

__all__ = ["Backend", "Listing", "Renderer", "Tables", "Variant", "choose", "left_over", "variants"]
