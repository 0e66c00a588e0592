"""Upgrades of a cluster that runs: which paths are legal, in what order hosts go, and what must
hold between two of them.

`versions` and `path` say from what to what, and whether that may be; `steps` and `batches` decide
the order; all of them are pure. `survey` asks hosts what they have; `rollout` does it, step by
step.
"""
