"""Builds clusters: runs on the operator's machine and talks SSH; hosts need nothing but /bin/sh."""
