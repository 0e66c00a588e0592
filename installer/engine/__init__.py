"""From what hosts should hold to what they hold: plan (probe and compare), apply (repair and probe
again)."""
