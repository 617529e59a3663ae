"""What a bundled server keeps in its folder besides its data: a port and a password."""

import os
import random
import secrets
import socket
from pathlib import Path

# Below the range from which Linux and macOS take the ports of outgoing connections, so that a port
# which is kept over a restart is not lent to somebody else meanwhile.
_PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kept_port(file: Path) -> int:
    """Give the loopback port noted in ``file`` where it is still free, else note a new one."""
    if (port := noted_port(file)) is not None and is_free(port):
        return port
    port = next(candidate for candidate in random.sample(_PORTS, len(_PORTS)) if is_free(candidate))
    write_private(file, str(port))
    return port


def noted_port(file: Path) -> int | None:
    """Give the port noted in ``file``; None where none is."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def kept_secret(file: Path) -> str:
    """Give the secret kept in ``file`` (mode 0600), made the first time."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Replace ``file`` in one move, so that a reader sees the old text or the new; mode 0600."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:  # noqa: PTH123
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
