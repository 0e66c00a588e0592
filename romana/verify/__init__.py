"""Proves that the kernel enforces the intent: its rules are read back, interpreted over all packets
at once, and compared. Pure.

What is compared with what. The intent is the compiled Admission of what is in force; it is turned
into sets of packets here, by `intent.py`, which knows nothing of how rules are made of it. The
kernel's side is what nft prints (or iptables and ipset), read by `nft.py` (`xtables.py`) and
interpreted by `interpret.py`, which share nothing with what renders and writes. So a fault of
rendering, of difference and transaction, of the tools or of somebody's hand shows. That the
Admission itself is what the objects ask for is the other half of the argument; there the reference
evaluator is the judge: of random worlds in the tests, of a sample of flows in each proof, and of
each difference that is found.

- `forms.py`: a table as rules that can be interpreted, however the kernel writes them.
- `nft.py`, `xtables.py`: read what was printed into that form; what they do not understand they
  name.
- `packets.py`: a class of packets; `sets.py`: what of it a set holds.
- `interpret.py`: what becomes of all packets of one class.
- `classes.py`: into which classes all packets fall.
- `intent.py`: what should become of them.
- `proof.py`: compares, and finds the smallest packet on which the two differ.
- `sample.py`: asks the reference evaluator; `trace.py`: follows one connection.
"""
