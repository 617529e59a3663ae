"""What a large upload takes of memory and time: over HTTP, through API and worker, into a store.

Into an S3 server and into a folder, beside `obstore` alone with the same file. The S3 server keeps
all in memory, so it runs for this alone.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from zipfile import ZipFile, ZipInfo

import httpx
from sqlalchemy import delete

from benchmarks.servers import BenchmarkError, Servers, Site, answers, free_port, until
from benchmarks.throughput import CONCURRENCY, LANES
from commands.object_sandbox import ObjectSandbox
from commands.upload_story import TINY
from models import Application

STORES = ("bucket", "folder")
BUDGET_MB = 150
_MEGABYTE = 2**20
_STEP = "app_upload.upload_to_object_store"
_KEY = "the key of a benchmark"
_PATIENCE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where objects are kept: how the application is told, and how a plain put is."""

    name: str
    environment: Mapping[str, str]
    plain: Mapping[str, Any]


def measure_uploads(
    servers: Servers, *, megabytes: int, times: int, stores: Sequence[str]
) -> dict[str, Any]:
    """Upload a file of that size, so many times into each of STORES. Raises BenchmarkError."""
    file = _write_apk(servers.folder / "large.apk", megabytes * _MEGABYTE)
    sandbox = ObjectSandbox()
    sandbox.start(servers.environment(), servers.log("object-sandbox"))
    try:
        sandbox.wait()
        folder = str(servers.folder / "objects")
        Path(folder).mkdir()
        known = [
            Store(
                name="bucket",
                environment=sandbox.environment,
                plain={"environment": sandbox.environment},
            ),
            Store(
                name="folder",
                environment={"OBJECT_STORE_FOLDER": folder},
                plain={"folder": folder},
            ),
        ]
        found = [_measure(servers, store, file, times) for store in known if store.name in stores]
    finally:
        sandbox.stop()
        file.unlink()
    peaks = [each[name] for each in found for name in ("apiPeakMb", "workerPeakMb")]
    return {
        "fileMb": megabytes,
        "times": times,
        "budgetMb": BUDGET_MB,
        "stores": found,
        "worstPeakMb": None if None in peaks else max(peaks),
    }


def _measure(servers: Servers, store: Store, file: Path, times: int) -> dict[str, Any]:
    size_mb = file.stat().st_size / _MEGABYTE
    site = servers.site(f"uploads_{store.name}")
    site.environment |= {
        **store.environment,
        "STAGING_FOLDER": str(servers.folder / f"staging-{store.name}"),
        "SAGA_API_KEY": _KEY,
    }
    worker = site.start_worker("worker", app="app", queues=LANES, concurrency=CONCURRENCY)
    url = f"http://127.0.0.1:{free_port()}"
    api = servers.spawn(
        f"{site.name}-api",
        site.environment,
        *("-m", "uvicorn", "--factory", "app:create_api", "--port", url.rpartition(":")[2]),
    )
    try:
        site.await_worker("worker")
        until(lambda: answers(f"{url}/healthz"), "the API answers")
        ready = (api.peak_mb(), worker.peak_mb())
        taken = [_upload(site, store, url, file) for _ in range(times)]
        peaks = (api.peak_mb(), worker.peak_mb())
    finally:
        api.stop()
        worker.stop()
    names = ("receive", "store", "whole", "plain")
    speeds = {name: size_mb / median(each[name] for each in taken) for name in names}
    return {
        "store": store.name,
        **{f"{name}MbPerSecond": round(speed, 1) for name, speed in speeds.items()},
        "storeToPlain": round(speeds["store"] / speeds["plain"], 3),
        "apiReadyMb": _rounded(ready[0]),
        "apiPeakMb": _rounded(peaks[0]),
        "workerReadyMb": _rounded(ready[1]),
        "workerPeakMb": _rounded(peaks[1]),
    }


def _upload(site: Site, store: Store, url: str, file: Path) -> dict[str, float]:
    """Upload once, and forget it; seconds of each part."""
    began = time.monotonic()
    with file.open("rb") as content:
        answer = httpx.post(
            f"{url}/api/apps",
            headers={"Authorization": f"Bearer {_KEY}"},
            files={"file": content},
            data={"name": "Large"},
            timeout=_PATIENCE_SECONDS,
            trust_env=False,
        )
    received = time.monotonic()
    if answer.status_code != httpx.codes.ACCEPTED:
        raise BenchmarkError(f"the upload was not accepted: {answer.text}")
    saga = answer.json()["sagaId"]
    until(lambda: _status(site, saga) != "RUNNING", "the upload rests")
    ended = time.monotonic()
    if _status(site, saga) != "COMPLETED":
        raise BenchmarkError(f"the upload is {_status(site, saga)}")
    asked = {**store.plain, "file": str(file), "remove": _forget(site)}
    plain = site.run("benchmarks.plain_put", given=json.dumps(asked))
    return {
        "receive": received - began,
        "store": _step_seconds(site, saga),
        "whole": ended - began,
        "plain": plain["seconds"],
    }


def _forget(site: Site) -> str:
    """Let the same version be uploaded again; the key of its object."""
    with site.database.begin() as connection:
        gone = delete(Application).returning(Application.object_key)
        return connection.execute(gone).scalar_one()


def _status(site: Site, saga: str) -> str:
    [[status]] = site.rows("SELECT status FROM saga_state WHERE saga_id = :saga", saga=saga)
    return str(status)


def _step_seconds(site: Site, saga: str) -> float:
    """From the step's first claim to its end, by the database's clock."""
    sql = (
        "SELECT extract(epoch FROM max(at) - min(at)) FROM saga_event "
        "WHERE saga_id = :saga AND step = :step AND kind IN ('attempt_started', 'step_done')"
    )
    [[seconds]] = site.rows(sql, saga=saga, step=_STEP)
    return float(seconds)


def _write_apk(path: Path, size: int) -> Path:
    """What is in the small APK, and enough beside it."""
    with ZipFile(TINY) as tiny, ZipFile(path, "w") as made:
        for entry in tiny.infolist():
            made.writestr(entry.filename, tiny.read(entry))
        with made.open(ZipInfo("assets/padding"), "w") as padding:
            piece = bytes(_MEGABYTE)
            for _ in range((size - TINY.stat().st_size) // _MEGABYTE):
                padding.write(piece)
    return path


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 1)
