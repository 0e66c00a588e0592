"""What a large cluster costs one agent: `romana bench scale`.

`synthetic` makes up the cluster, `documents` writes it as the API would (pure). `api` serves it to
the real agent, sends it events, and hears of each commit of its kernel; `experiment` starts it all
and reads the agent's memory and processor time.
"""
