"""Upload an application: it ends available to users, or as if nobody had sent it."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateways.apk import Apk, NotAnApk, read_apk
from gateways.staging import Staged, StagingError, TooLarge
from models import Application, ApplicationView, AppUploadState
from saga import (
    Conflict,
    Engine,
    InvalidInput,
    NotFound,
    RetryPolicy,
    Saga,
    Started,
    compensatable,
    pivot,
    queries,
    retriable,
    skip,
)
from saga.position import Status
from settings import settings
from tasks.app_upload import (
    create_app_record,
    leave_latest_version,
    remove_app_record,
    remove_from_object_store,
    send_notification,
    update_app_status,
    update_latest_version,
    upload_to_object_store,
    withdraw_app,
)
from tasks.doors import NoSuchDoor, staging
from workflows.app_details import AppDetails, AppInput

RETRY = RetryPolicy(
    retries=3,
    first=timedelta(seconds=settings.app_upload_first_retry_seconds),
    longest=timedelta(minutes=1),
)

upload = Saga(
    name="app_upload",
    version=1,
    state=AppUploadState,
    timeout=timedelta(seconds=settings.app_upload_timeout_seconds),
    steps=[
        compensatable(create_app_record, compensation=remove_app_record, retry=RETRY),
        compensatable(
            upload_to_object_store,
            compensation=remove_from_object_store,
            retry=RETRY,
            timeout=timedelta(seconds=settings.app_upload_call_timeout_seconds),
        ),
        pivot(update_app_status, compensation=withdraw_app, retry=RETRY),
        retriable(update_latest_version, compensation=leave_latest_version, retry=RETRY),
        retriable(send_notification, retry=RETRY, give_up=skip),
    ],
    # What somebody wrote freely; all else that it remembers is the package's own.
    sensitive=["description"],
)


class ApplicationNotFound(NotFound):
    """No application has this id."""

    field = "id"

    def __init__(self, app_id: str) -> None:
        super().__init__(f"no application has the id {app_id!r}")


class VersionExists(Conflict):
    """The package has this version already."""

    field = "file"

    def __init__(self, package_name: str, version_code: int, status: str) -> None:
        super().__init__(
            f"version {version_code} of {package_name} is there already ({status}): raise its "
            "versionCode"
        )


class NotAnApp(InvalidInput):
    """The file is none that can be installed."""

    field = "file"


class NotStaged(Conflict):
    """Nothing can be staged as things stand: no room, or no folder."""

    field = "file"


class FileTooLarge(NotAnApp):
    """The file has more bytes than an APK may have."""


class _Asked(AppDetails):
    """What makes two uploads the same."""

    sha256: str


def request_upload(
    engine: Engine,
    session: Session,
    staged: Staged,
    apk: Apk,
    details: AppDetails,
    *,
    idempotency_key: str | None = None,
) -> Started:
    """Start the upload of a staged file inside the caller's transaction; the saga has its id.

    Where another saga is given back, or anything is raised, nothing needs the staged file: remove
    it. Raises VersionExists, and what Engine.start raises: BusinessKeyTaken names the upload of
    this version that is under way.
    """
    key = f"app:{apk.package_name}:{apk.version_code}"
    asked = _Asked(sha256=staged.sha256, **details.model_dump(include=set(AppDetails.model_fields)))
    state = AppUploadState(
        app_id=str(staged.id),
        package_name=apk.package_name,
        version_code=apk.version_code,
        version_name=apk.version_name,
        name=details.name,
        description=details.description,
        tags=details.tags,
        min_sdk=apk.min_sdk,
        target_sdk=apk.target_sdk,
        size_bytes=staged.size,
        sha256=staged.sha256,
        object_key=object_key(apk, staged.id),
    )
    before = engine.earlier(
        session, upload, state, idempotency_key=idempotency_key, business_key=key, asked=asked
    )
    if before is not None:
        return before
    status = session.scalar(
        select(Application.status).where(
            Application.package_name == apk.package_name,
            Application.version_code == apk.version_code,
        )
    )
    if status is not None:
        raise VersionExists(apk.package_name, apk.version_code, status)
    return engine.start(
        session,
        upload,
        state,
        idempotency_key=idempotency_key,
        business_key=key,
        saga_id=staged.id,
        asked=asked,
    )


def start_upload(
    engine: Engine, session: Session, asked: AppInput, idempotency_key: str | None = None
) -> Started:
    """Copy a file into staging and start its upload: what ``saga start app_upload`` does.

    Raises NotAnApp, FileTooLarge, NotStaged, and what request_upload raises.
    """
    saga_id = uuid4()
    try:
        stage = staging()
    except NoSuchDoor as missing:
        raise NotStaged(str(missing)) from missing
    try:
        staged = stage.copy(saga_id, Path(asked.file).expanduser())
        started = request_upload(
            engine,
            session,
            staged,
            read_apk(staged.file),
            asked,
            idempotency_key=idempotency_key,
        )
    except (NotAnApk, TooLarge, OSError, StagingError) as error:
        stage.remove(saga_id)
        raise _fault_of_the_file(error) from error
    except BaseException:
        stage.remove(saga_id)
        raise
    if not started.is_new:
        stage.remove(saga_id)
    return started


def _fault_of_the_file(error: Exception) -> Exception:
    match error:
        case NotAnApk():
            return NotAnApp(f"the file {error}")
        case TooLarge():
            return FileTooLarge(str(error))
        case StagingError():
            return NotStaged(str(error))
    return NotAnApp(f"the file cannot be read: {getattr(error, 'strerror', None) or error}")


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_VERSION = 50


def object_key(apk: Apk, saga_id: UUID) -> str:
    """Where the file goes: its own saga's place, so that no two ever share one."""
    return f"apps/{apk.package_name}/{_plain(apk.version_name)}_{saga_id.hex}.apk"


def download_name(package_name: str, version_name: str) -> str:
    """What a downloaded file is called."""
    return f"{package_name}-{_plain(version_name)}.apk"


def _plain(version_name: str) -> str:
    return _UNSAFE.sub("_", version_name)[:_LONGEST_VERSION]


_IS_COMING = frozenset({Status.RUNNING, Status.COMPENSATING, Status.FAILED})


def find_application(session: Session, app_id: str) -> ApplicationView | None:
    """An application as it is now; while it has no record, as its upload's saga has it."""
    record = session.get(Application, app_id)
    if record is not None:
        return ApplicationView.of(record)
    try:
        saga_id = UUID(app_id)
    except ValueError:
        return None
    row = queries.look(session.connection(), saga_id)
    if row is None or row.saga_type != upload.name or row.status not in _IS_COMING:
        return None
    return ApplicationView.to_be(AppUploadState.model_validate(row.state))
