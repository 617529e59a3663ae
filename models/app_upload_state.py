"""What an upload remembers between its steps."""

from pydantic import BaseModel, ConfigDict


class AppUploadState(BaseModel):
    """One version of an application on its way into the object store.

    ``app_id`` is the record's id and the saga's own; the file waits in staging under it.
    ``sha256`` is the file's, in hexadecimal.
    """

    model_config = ConfigDict(frozen=True)

    app_id: str
    package_name: str
    version_code: int
    version_name: str
    name: str
    description: str
    tags: list[str]
    min_sdk: int
    target_sdk: int
    size_bytes: int
    sha256: str
    object_key: str
