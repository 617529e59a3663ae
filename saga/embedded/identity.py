"""As whom a server runs that refuses to run as root.

A normal user is that user. Root has, in this order: a user namespace, in which it is somebody
else although the files stay its own; another user of this machine; and, where neither may enter
the folder, another user with everything in the system's temporary folder.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Run by the interpreter itself, because not every system has setpriv.
_BECOME = """
import os, sys
uid, gid, *argv = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(argv[0], argv)
"""


@dataclass(frozen=True)
class Identity:
    """``prefix`` goes before a command; what it writes belongs to ``uid`` and ``gid``."""

    prefix: tuple[str, ...]
    uid: int
    gid: int

    def may_use(self, folder: Path, program: Path) -> bool:
        """Tell whether a process of this identity may enter ``folder`` and run ``program``."""
        test = ["/bin/sh", "-c", 'cd "$1" && "$2" --version', "sh", str(folder), str(program)]
        try:
            done = subprocess.run(  # noqa: S603
                [*self.prefix, *test], capture_output=True, cwd="/", check=False
            )
        except OSError:
            return False
        return done.returncode == 0

    def own(self, folder: Path) -> None:
        """Give ``folder`` and all in it to this identity; nothing to do where it has it."""
        if os.geteuid() != 0 or folder.stat().st_uid == self.uid:
            return
        for path in (*folder.rglob("*"), folder):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def identities(folder: Path) -> Iterator[Identity]:
    """Give the identities to try for a server with its data in ``folder``, the best first."""
    if os.geteuid() != 0:
        yield Identity((), os.getuid(), os.getgid())
        return
    users = list(_users(folder))
    if users and (unshare := shutil.which("unshare")):
        # The number must be that of a user whom the system knows: initdb asks for the name.
        user = users[0]
        mapped = (f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")
        yield Identity((unshare, "--user", *mapped, "--"), os.getuid(), os.getgid())
    for user in users:
        ids = (str(user.pw_uid), str(user.pw_gid))
        prefix = (sys.executable, "-I", "-S", "-c", _BECOME, *ids)
        yield Identity(prefix, user.pw_uid, user.pw_gid)


def _users(folder: Path) -> Iterator[pwd.struct_passwd]:
    owner = folder.stat().st_uid
    if owner != 0:
        with suppress(KeyError):  # a number without a name, as in a container's volume
            yield pwd.getpwuid(owner)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            yield pwd.getpwnam(name)
