"""The bundled PostgreSQL and Redis, for a first run and for tests: the real software, no Docker.

Both keep data, port and password in a folder of their own and are there again after a restart.
"""

from saga.embedded.errors import EmbeddedError
from saga.embedded.postgres import PostgresServer
from saga.embedded.redis import RedisServer

__all__ = ["EmbeddedError", "PostgresServer", "RedisServer"]
