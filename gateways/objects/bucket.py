"""A bucket of an S3 server as a store of objects: Amazon's, MinIO, Ceph and others.

Data goes by `obstore`; what is being written is listed and aborted by `minio`, as obstore cannot.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from obstore import exceptions
from obstore.store import S3Store

from gateways.objects.accounts import BucketAccount
from gateways.objects.pieces import PIECE_BYTES, are, pieces
from gateways.objects.store import (
    Corrupt,
    ObjectMissing,
    PendingUpload,
    StoreAway,
    StoredObject,
    StoreError,
    StoreRefused,
)

_CONNECT = timedelta(seconds=5)
_LONGEST_REQUEST = timedelta(seconds=60)
# The saga has retries of its own; these only bridge a connection that was cut.
_RETRIES = 1
# Each holds a piece in memory.
_AT_ONCE = 2
_PAGE = 1000
_RANGE_BYTES = 32 * 1024 * 1024
_LONGEST_MESSAGE = 200
# It holds the key and the number of an upload, and leaves no room for what went wrong.
_ADDRESS = re.compile(r"https?://\S+")
# obstore tells some refusals, such as those of listing, only in the text of what was answered.
_CODE = re.compile(r"<Code>(\w+)</Code>")

_REFUSALS = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "NoSuchBucket",
        "SignatureDoesNotMatch",
    }
)


class BucketStore:
    """Keeps objects in one bucket, which is there already.

    ``timeout`` bounds each request. Safe to share between threads and to create before a fork: it
    connects when it is first used.
    """

    def __init__(self, account: BucketAccount, timeout: timedelta) -> None:
        self._account = account
        self._timeout = min(timeout, _LONGEST_REQUEST)
        self._data: S3Store | None = None
        self._listing: Minio | None = None

    @property
    def name(self) -> str:
        return f"bucket {self._account.bucket} at {self._account.endpoint or 'Amazon S3'}"

    def put(
        self,
        key: str,
        file: Path,
        *,
        size: int,
        sha256: str,
        progress: Callable[[int], None],
    ) -> None:
        self._end_uploads(key)
        if self.matches(key, size=size, sha256=sha256):
            return
        stopped: list[BaseException] = []

        def watched() -> Iterator[bytes]:
            # What is raised here ends the upload, and comes back as an error of obstore's own.
            try:
                yield from pieces(file, size=size, sha256=sha256, progress=progress)
            except BaseException as error:
                stopped.append(error)
                raise

        try:
            with self._understood():
                # Always in parts: then whoever ends the upload stops one that is still written.
                obstore.put(
                    self._objects,
                    key,
                    watched(),
                    use_multipart=True,
                    chunk_size=PIECE_BYTES,
                    max_concurrency=_AT_ONCE,
                )
        except StoreError:
            if stopped:
                raise stopped[0] from None
            raise
        # Where an answer was lost, the library may have begun the upload twice.
        self._end_uploads(key)
        if not self.matches(key, size=size, sha256=sha256):
            raise Corrupt(f"{self.name} keeps other bytes under {key} than it was sent")

    def matches(self, key: str, *, size: int, sha256: str) -> bool:
        with self._understood():
            try:
                if obstore.head(self._objects, key)["size"] != size:
                    return False
                return are(self._pieces(key), size=size, sha256=sha256)
            except FileNotFoundError:
                return False

    def remove(self, key: str) -> None:
        # What is being written first: it may become the object just now.
        self._end_uploads(key)
        with self._understood(), suppress(FileNotFoundError):
            obstore.delete(self._objects, key)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        with self._understood():
            for page in obstore.list(self._objects, prefix, chunk_size=_PAGE):
                for found in page:
                    yield StoredObject(found["path"], found["size"], found["last_modified"])

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        key_marker: str | None = None
        upload_marker: str | None = None
        while True:
            with self._understood():
                page = self._uploads._list_multipart_uploads(  # noqa: SLF001 - the library has no other way
                    self._account.bucket,
                    # MinIO knows a prefix only as a whole key: minio/minio#20989.
                    prefix=None if prefix.endswith("/") else prefix,
                    key_marker=key_marker,
                    upload_id_marker=upload_marker,
                    max_uploads=_PAGE,
                )
            for found in page.uploads:
                # Not every server heeds the prefix.
                if found.upload_id and found.object_name.startswith(prefix):
                    begun = found.initiated_time or datetime.now(UTC)
                    yield PendingUpload(found.object_name, found.upload_id, begun)
            if not page.is_truncated:
                return
            key_marker, upload_marker = page.next_key_marker, page.next_upload_id_marker

    def abort(self, upload: PendingUpload) -> None:
        with self._understood():
            try:
                self._uploads._abort_multipart_upload(  # noqa: SLF001 - the library has no other way
                    self._account.bucket, upload.key, upload.upload_id
                )
            except S3Error as error:
                if error.code != "NoSuchUpload":
                    raise

    def link(self, key: str, *, filename: str, valid_for: timedelta) -> str | None:
        with self._understood():
            return self._uploads.presigned_get_object(
                self._account.bucket,
                key,
                expires=valid_for,
                response_headers={
                    "response-content-disposition": f'attachment; filename="{filename}"'
                },
            )

    def read(self, key: str) -> Iterator[bytes]:
        with self._understood():
            try:
                yield from self._pieces(key)
            except FileNotFoundError:
                raise ObjectMissing(f"there is no object {key} in {self.name}") from None

    def check(self) -> None:
        key = f"proof/{uuid4()}"
        with self._understood():
            obstore.put(self._objects, key, b"proof", use_multipart=False)
            obstore.delete(self._objects, key)
            next(self.uploads(key), None)

    def _pieces(self, key: str) -> Iterator[bytes]:
        # By ranges, because the timeout of a request includes the reading of its answer.
        size = obstore.head(self._objects, key)["size"]
        for start in range(0, size, _RANGE_BYTES):
            asked = (start, min(start + _RANGE_BYTES, size))
            answer = obstore.get(self._objects, key, options={"range": asked})
            for piece in answer.stream(min_chunk_size=1024 * 1024):
                yield bytes(piece)

    def _end_uploads(self, key: str) -> None:
        for upload in self.uploads(key):
            if upload.key == key:
                self.abort(upload)

    @property
    def _objects(self) -> S3Store:
        if self._data is None:
            account = self._account
            self._data = S3Store(
                account.bucket,
                endpoint=account.endpoint,
                region=account.region,
                access_key_id=account.access_key_id,
                secret_access_key=account.secret_access_key,
                virtual_hosted_style_request=account.endpoint is None,
                client_options={
                    "timeout": self._timeout,
                    "connect_timeout": _CONNECT,
                    "allow_http": True,
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": self._timeout},
            )
        return self._data

    @property
    def _uploads(self) -> Minio:
        if self._listing is None:
            account = self._account
            parts = urlsplit(account.endpoint or "https://s3.amazonaws.com")
            self._listing = Minio(
                parts.netloc,
                access_key=account.access_key_id,
                secret_key=account.secret_access_key,
                region=account.region,
                secure=parts.scheme == "https",
                http_client=urllib3.PoolManager(
                    timeout=urllib3.Timeout(
                        connect=_CONNECT.total_seconds(), read=self._timeout.total_seconds()
                    ),
                    retries=urllib3.Retry(_RETRIES, redirect=0),
                    maxsize=_AT_ONCE,
                ),
            )
        return self._listing

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code in _REFUSALS:
                raise self._refused(error.code) from None
            raise StoreAway(f"{self.name} answered {error.code}: it may work again later") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise self._refused("access denied") from None
        except (
            *(exceptions.BaseError, FileNotFoundError),
            *(MinioException, urllib3.exceptions.HTTPError),
        ) as error:
            # What else is not found is an upload that somebody ended: another try makes a new one.
            code = _CODE.search(str(error))
            if code is not None and code[1] in _REFUSALS:
                raise self._refused(code[1]) from None
            raise StoreAway(
                f"{self.name} did not do it ({_short(error)}): it may work again later"
            ) from None

    def _refused(self, how: str) -> StoreRefused:
        return StoreRefused(
            f"{self.name} refused ({how}): correct OBJECT_STORE_… or the bucket and its rights"
        )


def _short(error: Exception) -> str:
    """What a library says, in a line, without the address; it may go on for pages."""
    said = _ADDRESS.sub("", str(getattr(error, "reason", None) or error))
    return " ".join(said.split())[:_LONGEST_MESSAGE] or type(error).__name__
