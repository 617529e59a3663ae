"""A real S3 server for tests, benchmarks and the demonstration, which fails when it is told to.

It is moto's server: it keeps objects in memory and temporary files, and looks at no signature.
"""
