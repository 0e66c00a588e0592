"""Hosts and pods as network namespaces on this machine, for conformance, benchmark and sandbox.

`naming` decides (pure), `namespaces` does, `probes` looks at live traffic, `responder` answers it,
`leftovers` finds and removes what a killed run left.
"""
