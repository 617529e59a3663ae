"""What ``saga doctor`` should know of uploads: staging, the object store, and who is told."""

from collections.abc import Iterator

from celery import Celery
from kombu.exceptions import OperationalError

from gateways.account import AccountFaulty
from gateways.objects import StoreError
from gateways.staging import StagingError
from saga.doctor import Finding
from settings import settings
from tasks import doors, staging_token

_STAGING, _STORE = "staging", "object store"


def findings(celery: Celery) -> Iterator[Finding]:
    """Prove that files can be staged, kept and seen by all who need them."""
    yield _staging(celery)
    yield from _object_store()
    try:
        told = doors.notices()
    except AccountFaulty as faulty:
        for fault in faulty.faults:
            yield Finding.bad(fault.variable, fault.detail, fault.advice)
    else:
        if told is not None:
            yield Finding.ok("notices", f"new versions are told to {settings.app_notify_url}")


def _staging(celery: Celery) -> Finding:
    try:
        stage = doors.staging()
        with stage.token() as (name, text):
            seen = staging_token.ask(celery, name)
    except doors.NoSuchDoor:
        return Finding.warn(
            _STAGING,
            "is not set: no application can be uploaded",
            "set STAGING_FOLDER to a folder that the API and all workers see",
        )
    except StagingError as error:
        detail, _, advice = str(error).partition(": ")
        return Finding.bad(_STAGING, detail, advice)
    except OperationalError:
        return Finding.warn(_STAGING, "no worker could be asked: the broker is away", "start it")
    blind = sorted(worker for worker, said in seen.items() if said != text)
    if blind:
        return Finding.bad(
            _STAGING,
            f"{stage.folder} is not seen by {', '.join(blind)}: uploads fail there",
            "let STAGING_FOLDER be one folder, such as a shared volume, for the API and all "
            "workers",
        )
    if not seen:
        return Finding.warn(
            _STAGING, f"no worker told whether it sees {stage.folder}", "start the workers"
        )
    several = "s" if len(seen) > 1 else ""
    return Finding.ok(_STAGING, f"{stage.folder} is seen by {len(seen)} worker{several}")


def _object_store() -> Iterator[Finding]:
    try:
        store = doors.object_store()
    except doors.NoSuchDoor:
        yield Finding.warn(
            _STORE,
            "is not set: no application can be uploaded",
            "set OBJECT_STORE_BUCKET, or OBJECT_STORE_FOLDER",
        )
        return
    except AccountFaulty as faulty:
        for fault in faulty.faults:
            yield Finding.bad(fault.variable, fault.detail, fault.advice)
        return
    try:
        store.check()
    except StoreError as error:
        yield Finding.bad(_STORE, str(error), "uploads wait, and go back after some time")
        return
    yield Finding.ok(_STORE, f"{store.name} can be written")
