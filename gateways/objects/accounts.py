"""Whose bucket we keep objects in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from gateways.account import Form, is_address

_PREFIX = "OBJECT_STORE_"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_URL = "https://s3.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class BucketAccount:
    """A bucket of an S3 server, and who we are there. ``endpoint`` is None for Amazon's own."""

    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    endpoint: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self | None:
        """Return the account, None if no variable of it is set. Raises AccountFaulty."""
        texts = [f"{_PREFIX}{name}" for name in ("BUCKET", "ACCESS_KEY_ID", "REGION")]
        bucket, access_key_id, region = texts
        secret, endpoint = f"{_PREFIX}SECRET_ACCESS_KEY", f"{_PREFIX}ENDPOINT"
        form = Form(given, texts, [secret], endpoint)
        if form.is_blank:
            return None
        url = form.given.get(endpoint, "")
        # Not all libraries would keep it.
        if is_address(url) and urlsplit(url).path not in {"", "/"}:
            form.fault(endpoint, "has a path", "leave the path out")
        if bucket in form.given and not _BUCKET.fullmatch(form.given[bucket]):
            form.fault(bucket, "is no bucket's name", "give 3 to 63 small letters, digits, . and -")
        account = cls(
            bucket=form.text(bucket),
            access_key_id=form.text(access_key_id),
            secret_access_key=form.secret(secret),
            region=form.given.get(region, "us-east-1"),
            endpoint=form.url(endpoint, _URL).rstrip("/") if endpoint in form.given else None,
        )
        form.end()
        return account
