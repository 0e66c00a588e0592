"""Proves a kernel: NetworkPolicy cases stated as data, on hosts and pods made of namespaces, with
the real agent, probed live.

`cases` reads the data, `placement` and `manifests` decide (pure), `cluster` makes hosts, agents and
pods, `prober` sends and answers, `run` applies step after step, `report` says what came of it.
"""
