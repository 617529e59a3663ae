"""The simulated host: it answers as a Docker Engine does, and runs minimal devices as processes."""
