"""`romana bench policies --cluster`: the same experiment on a cluster that is there, through the
configuration of kubectl.

Two pods on two nodes; client and server are the bench's own, run in them by the Romana that the
nodes have. Policies are NetworkPolicies, created and deleted through the API for each turn.
"""
