"""The CNI plugin: what the container runtime executes. It asks the agent and prints the answer."""
