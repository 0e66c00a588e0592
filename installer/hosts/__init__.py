"""Reaching hosts: sessions that run scripts, what is known of a host, and its init system."""
