"""What policies cost, measured: `romana bench policies` and `romana bench scale`.

`workload`, `shapes`, `schedule`, `estimates`, `figures` decide (pure); `testbed`, `traffic`,
`measurement` do; `terminal`, `plots`, `report` show. See docs/bench.md.
"""
