"""The embedded stack: its servers and processes, started, supervised, looked at and stopped.

Its packages come with the ``embedded`` extra; import what you need from its modules.
"""
