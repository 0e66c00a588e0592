"""Proves that the kernel enforces the intent: the table is read back, interpreted over all packets
at once, and compared. Pure.

What is compared with what. The intent is the compiled Admission of what is in force; it is turned
into sets of packets here, by `intent.py`, which knows nothing of how a table is made of it. The
kernel's side is what nft prints (or iptables and ipset), read by `nft.py` (`xtables.py`) and
interpreted by `interpret.py`, which share nothing with what renders and writes. So a fault of rendering, of difference and transaction, of nft
or of somebody's hand shows. That the Admission itself is what the objects ask for is the other half
of the argument; there the reference evaluator is the judge: of random worlds in the tests, and of
each difference that is found here.

- `forms.py`: a table as rules that can be interpreted, however the kernel writes them.
- `nft.py`: reads nft's JSON into that form; what it does not understand it names.
- `packets.py`: a class of packets; `sets.py`: what of it a set holds.
- `interpret.py`: what becomes of all packets of one class.
- `classes.py`: into which classes all packets fall.
- `intent.py`: what should become of them.
- `proof.py`: compares, and finds the smallest packet on which the two differ.
"""
