"""The Romana network: routed pod addresses, and policies judged by each host's own kernel."""
