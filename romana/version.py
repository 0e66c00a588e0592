"""The one place that holds the version of the network and of its installer."""

VERSION = "1.0.0.dev1"
