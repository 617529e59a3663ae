"""Files in pieces of constant size, hashed on their way."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateways.objects.store import Corrupt

# The least that S3 takes as a part; of 10,000 parts, so that an object may have 50 GB.
PIECE_BYTES = 5 * 1024 * 1024


def pieces(
    file: Path, *, size: int, sha256: str, progress: Callable[[int], None]
) -> Iterator[bytes]:
    """The file's bytes; raises Corrupt before its end when they are not what they should be."""
    digest, done = hashlib.sha256(), 0
    try:
        source = file.open("rb")
    except OSError as error:
        raise Corrupt(f"the staged file cannot be read: {error.strerror}") from None
    with source:
        while piece := source.read(PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            yield piece
            progress(done)
    if done != size or digest.hexdigest() != sha256:
        raise Corrupt(f"the staged file has {done} bytes that are not those of the upload ({size})")


def are(given: Iterable[bytes], *, size: int, sha256: str) -> bool:
    """Whether the pieces together are of this size and hash."""
    digest, done = hashlib.sha256(), 0
    for piece in given:
        digest.update(piece)
        done += len(piece)
    return done == size and digest.hexdigest() == sha256
