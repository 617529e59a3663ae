"""``python -m benchmarks.plain_put``: bring a file into a store by `obstore` alone.

Reads what to do as JSON, and prints how long it took. It reads nothing back, and compares nothing.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, S3Store

from gateways.objects.pieces import PIECE_BYTES

_KEY = "plain.apk"


def main() -> None:
    """``{"file", "remove", "folder" or "environment"}``.

    ``remove`` is the key of an object that is in the way, ``environment`` OBJECT_STORE_….
    """
    given = json.load(sys.stdin)
    store = _store(given)
    obstore.delete(store, given["remove"])
    began = time.perf_counter()
    obstore.put(store, _KEY, Path(given["file"]), use_multipart=True, chunk_size=PIECE_BYTES)
    seconds = time.perf_counter() - began
    obstore.delete(store, _KEY)
    print(json.dumps({"seconds": seconds}))


def _store(given: dict[str, Any]) -> S3Store | LocalStore:
    if "folder" in given:
        return LocalStore(given["folder"], mkdir=True)
    account = {
        name.removeprefix("OBJECT_STORE_").lower(): text
        for name, text in given["environment"].items()
    }
    return S3Store(
        account.pop("bucket"),
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        **account,
    )


if __name__ == "__main__":
    main()
