"""The work: one function a step, safe to run twice."""
