"""Looks at a cluster as a whole: who reaches whom, what a change would do, with an agent or from a
directory of manifests alone."""
