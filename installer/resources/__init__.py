"""What a host can hold. Each kind probes itself, compares purely, and carries its repair."""
