"""What keeps a benchmark from being run."""


class BenchError(Exception):
    """A benchmark cannot be made, or does not measure what it should: one line."""
