"""The doors: one package for each of somebody else's systems."""
