"""The verbs of `romana-install`: each with its options, parsed and handed to one function of
`installer.commands`."""
