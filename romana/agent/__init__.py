"""The daemon that joins sources, policy, addresses and the kernel on one host."""
