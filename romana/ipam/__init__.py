"""Which addresses pods get: blocks laid out over zones, and leases of single addresses."""
