"""The smoke test: proves that an installed cluster's network does what it must.

`checks` is the table of what is checked; `placement`, `manifests`, `scripts` and `judge` decide;
`stage`, `watching`, `streams`, `health` and `evidence` do; `play` leads through the phases.
"""

from installer.smoke.runner import run

__all__ = ["run"]
