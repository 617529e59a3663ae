"""Producers' endpoints for applications: upload one, look at it, download it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Annotated
from uuid import uuid4

import structlog
from fastapi import APIRouter, Header, Path, Request
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.app_form import BODY, receive_upload
from api.ids import readable, shown
from gateways.account import AccountFaulty
from gateways.apk import NotAnApk, read_apk
from gateways.objects import ObjectMissing, StoreError
from gateways.staging import (
    LARGEST_APK,
    Staged,
    Staging,
    StagingError,
    StagingFull,
    TooLarge,
)
from models import Application, ApplicationStatus, ApplicationView
from saga import Engine
from saga.access import Permission, Principal
from saga.api import Caller, answers, needs
from saga.logs import log_error
from settings import settings
from tasks.doors import NoSuchDoor, object_store, staging
from workflows import (
    AppDetails,
    ApplicationNotFound,
    NotAnApp,
    download_name,
    find_application,
    request_upload,
    upload,
)

log = structlog.get_logger("apps")

PATH = "/api/apps"
# The file, and the form around it.
LARGEST_BODY = LARGEST_APK + 1024 * 1024

# Each takes a process of its own, with a time limit: more at once would only be slower, and keep
# other requests waiting for a thread.
READ_AT_ONCE = 2

_AGAIN_SECONDS = "30"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key, file and fields give the same saga; others are refused.",
    ),
]


class UploadAccepted(BaseModel):
    """The upload is under way in this saga; ``application`` is the record as it is now.

    It is null when the same key is sent again after its saga went back: then there is none.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    saga_id: str
    application: ApplicationView | None


def router(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["applications"])
    reading = asyncio.Semaphore(READ_AT_ONCE)

    @routes.post(
        PATH,
        status_code=202,
        response_model=UploadAccepted,
        responses=answers(408, 409, 413, 415, 422),
        dependencies=[needs(Permission.START)],
        openapi_extra={"requestBody": BODY, "x-saga-type": upload.name},
    )
    async def upload_application(
        request: Request, principal: Caller, idempotency_key: IdempotencyKey = None
    ) -> UploadAccepted | Response:
        """Upload an APK of at most 200 MB. It is available when its saga is COMPLETED.

        409 when the package has this version already, or it is being uploaded; then ``sagaId``
        names that upload.
        """
        stage = _staging()
        saga_id = uuid4()
        try:
            staged, details = await receive_upload(request, stage, saga_id)
            async with _turn(reading, stage, staged):
                return await run_in_threadpool(
                    _start,
                    engine,
                    stage,
                    staged,
                    details,
                    principal=principal,
                    idempotency_key=idempotency_key,
                )
        except ClientDisconnect:
            log.info("the client went away before its file was whole", saga_id=str(saga_id))
            return Response(status_code=400)  # nobody hears it
        except TooLarge as large:
            raise HTTPException(413, str(large)) from None
        except StagingError as error:
            log_error(log, "file not staged", error)
            raise _later(_no_room(error)) from None

    @routes.get(f"{PATH}/{{id}}", responses=answers(404), dependencies=[needs(Permission.READ)])
    def show_application(app_id: Annotated[str, Path(alias="id")]) -> ApplicationView:
        """An application as it is now; ``uploading`` until its saga has come to the pivot."""
        with Session(engine.database) as session:
            found = find_application(session, app_id) if readable(app_id) else None
        if found is None:
            raise ApplicationNotFound(shown(app_id))
        return found

    @routes.get(
        f"{PATH}/{{id}}/download",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"application/vnd.android.package-archive": {}}},
            307: {"description": "The file is there, for a while."},
            **answers(404),
        },
        dependencies=[needs(Permission.READ)],
    )
    def download_application(app_id: Annotated[str, Path(alias="id")]) -> Response:
        """The APK itself, or where to get it, of an application that is available."""
        with Session(engine.database) as session:
            record = session.get(Application, app_id) if readable(app_id) else None
        if record is None or record.status != ApplicationStatus.AVAILABLE:
            raise ApplicationNotFound(shown(app_id))
        return _download(record)

    return routes


@asynccontextmanager
async def _turn(reading: asyncio.Semaphore, stage: Staging, staged: Staged) -> AsyncIterator[None]:
    """Wait until the file may be read; it is removed when this server stops before."""
    try:
        await reading.acquire()
    except asyncio.CancelledError:
        stage.remove(staged.id)
        raise
    try:
        yield
    finally:
        reading.release()


def _start(
    engine: Engine,
    stage: Staging,
    staged: Staged,
    details: AppDetails,
    *,
    principal: Principal,
    idempotency_key: str | None,
) -> UploadAccepted:
    """Start the upload's saga; what is staged for nothing is removed."""
    is_needed = False
    try:
        apk = read_apk(staged.file)
        with Session(engine.database, info=principal.info) as session, session.begin():
            started = request_upload(
                engine, session, staged, apk, details, idempotency_key=idempotency_key
            )
            view = find_application(session, str(started.saga_id))
            # From here on also when the commit's answer is lost: the saga may have begun.
            is_needed = started.is_new
    except NotAnApk as error:
        raise NotAnApp(f"the file {error}") from None
    finally:
        if not is_needed:
            stage.remove(staged.id)
    return UploadAccepted(saga_id=str(started.saga_id), application=view)


def _download(record: Application) -> Response:
    name = download_name(record.package_name, record.version_name)
    try:
        store = object_store()
        link = store.link(record.object_key, filename=name, valid_for=settings.object_link)
        if link is not None:
            return RedirectResponse(link, 307, {"Cache-Control": "no-store"})
        pieces = store.read(record.object_key)
        first = next(pieces, b"")
    except ObjectMissing as error:
        log_error(log, "an available application has no object", error, app_id=record.id)
        raise _later("the file is not in the object store just now") from None
    except (StoreError, NoSuchDoor, AccountFaulty) as error:
        log_error(log, "object store not read", error, app_id=record.id)
        raise _later("the object store does not answer just now") from None
    return StreamingResponse(
        iterate_in_threadpool(chain([first], pieces)),
        media_type="application/vnd.android.package-archive",
        headers={
            "Content-Length": str(record.size_bytes),
            "Content-Disposition": f'attachment; filename="{name}"',
            "ETag": f'"{record.sha256}"',
        },
    )


def _staging() -> Staging:
    """Where to stage what can be stored, too."""
    try:
        object_store()
        return staging()
    except (NoSuchDoor, AccountFaulty) as error:
        log_error(log, "no application can be uploaded", error)
        raise _later("no application can be uploaded here yet: it is not set up") from None


def _later(detail: str) -> HTTPException:
    return HTTPException(503, detail, headers={"Retry-After": _AGAIN_SECONDS})


def _no_room(error: StagingError) -> str:
    """What a producer is told; where the folder is, is not theirs to know."""
    if isinstance(error, StagingFull):
        return str(error)
    return "files cannot be staged just now"
