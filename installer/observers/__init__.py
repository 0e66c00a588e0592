"""Observers of events: what the operator sees, and what is kept of it. Nothing else prints."""
