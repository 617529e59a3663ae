"""The door to the store that applications are kept in: a bucket of an S3 server, or a folder."""

from gateways.objects.store import (
    Corrupt,
    ObjectMissing,
    ObjectStore,
    PendingUpload,
    StoreAway,
    StoredObject,
    StoreError,
    StoreRefused,
)

__all__ = [
    "Corrupt",
    "ObjectMissing",
    "ObjectStore",
    "PendingUpload",
    "StoreAway",
    "StoreError",
    "StoreRefused",
    "StoredObject",
]
