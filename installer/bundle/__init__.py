"""One file with everything that a cluster is made of, for places without a network.

A bundle is a plain tar, so that any system can look into it. Its first member is the manifest,
which names every other member with its SHA-256; the manifest's own sum and signature follow it:

    manifest.json           versions, systems, and for every member its size, sum and origin
    manifest.json.sha256    as sha256sum writes it
    manifest.json.sig       an SSH signature (ssh-keygen -Y sign); empty where nobody signed
    kubernetes/ upstream/ romana/ images/ packages/ wheels/ installer/ sandbox/

Every byte of the file is determined by the manifest and the members' content, headers and padding
included: a file that differs from that anywhere is refused, and the message names the member. The
same members make the same file, but for the signature.

    contents     what a manifest says, as values
    layout       the file itself: written, read and verified
    signature    who signed it, and whether that one is trusted
    unpacking    verified, then laid into the cache
    supply       an unpacked bundle as what a run lays down, and whether it suits the cluster
"""
