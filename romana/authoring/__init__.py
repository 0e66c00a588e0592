"""Policies as operators write them: read, imported from the Romana of 2016, checked, put where the
agents read them. The agents themselves only ever read."""
