"""The work of an upload. Names are durable; see workflows/app_upload.py for the story."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.notices import NoticeRefused
from gateways.objects import StoreRefused
from models import Application, ApplicationStatus, ApplicationView, AppUploadState
from saga import (
    Effect,
    Forward,
    IdempotencyKey,
    NeedsPerson,
    Refused,
    TryAgain,
    external,
    external_compensation,
    progress,
    transactional,
    transactional_compensation,
)
from tasks.doors import NoSuchDoor, notices, object_store, staging


@transactional("app_upload.create_app_record")
def create_app_record(state: AppUploadState, session: Session) -> AppUploadState:
    """Take the version: its record is ``uploading``. Refused when the version is there already."""
    values = state.model_dump(exclude={"app_id"})
    made = session.execute(
        insert(Application)
        .values(id=state.app_id, status=ApplicationStatus.UPLOADING, is_latest=False, **values)
        .on_conflict_do_nothing()
        .returning(Application.id)
    ).one_or_none()
    if made is None:
        raise Refused(
            f"version {state.version_code} of {state.package_name} is there already",
            code="VERSION_EXISTS",
        )
    return state


@transactional_compensation("app_upload.remove_app_record")
def remove_app_record(state: AppUploadState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Remove the record, so that the version can be uploaded anew."""
    _expect(state, session, ApplicationStatus.UPLOADING)
    session.execute(delete(Application).where(Application.id == state.app_id))


@external("app_upload.upload_to_object_store")
def upload_to_object_store(state: AppUploadState, key: IdempotencyKey) -> AppUploadState:  # noqa: ARG001 - the object's own key is made from the saga's id, too
    """Bring the staged file into the object store, and read it back."""
    try:
        file = staging().file(UUID(state.app_id))
        if not file.exists():
            raise TryAgain(
                f"the staged file of {state.app_id} is not on this machine: let STAGING_FOLDER be "
                "a folder that the API and all workers see (saga doctor)"
            )
        object_store().put(
            state.object_key,
            file,
            size=state.size_bytes,
            sha256=state.sha256,
            progress=lambda done: progress(done, state.size_bytes),
        )
    except (NoSuchDoor, AccountFaulty) as missing:
        raise NeedsPerson(
            f"{missing}; start the workers anew, then retry",
            effect=Effect.NOT_STARTED,
            code="NOT_SET_UP",
        ) from missing
    except StoreRefused as refused:
        raise NeedsPerson(
            f"{refused}; then retry", effect=Effect.UNKNOWN, code="STORE_REFUSED"
        ) from refused
    return state


@external_compensation("app_upload.remove_from_object_store")
def remove_from_object_store(state: AppUploadState, forward: Forward) -> None:  # noqa: ARG001 - it removes whatever is there
    """Leave neither the object nor a part of it; who still writes it cannot finish."""
    object_store().remove(state.object_key)


@transactional("app_upload.update_app_status")
def update_app_status(state: AppUploadState, session: Session) -> AppUploadState:
    """Make the version available."""
    _expect(state, session, ApplicationStatus.UPLOADING)
    session.execute(
        update(Application)
        .where(Application.id == state.app_id)
        .values(status=ApplicationStatus.AVAILABLE, available_at=func.now())
    )
    return state


@transactional_compensation("app_upload.withdraw_app")
def withdraw_app(state: AppUploadState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Take the version back from users; the greatest of the others is the latest."""
    _hold_package(session, state.package_name)
    _expect(state, session, ApplicationStatus.AVAILABLE)
    session.execute(
        update(Application)
        .where(Application.id == state.app_id)
        .values(status=ApplicationStatus.UPLOADING, is_latest=False, available_at=None)
    )
    _choose_latest(session, state.package_name)


@transactional("app_upload.update_latest_version")
def update_latest_version(state: AppUploadState, session: Session) -> AppUploadState:
    """Let the greatest available version of the package be its latest, whichever came last."""
    _hold_package(session, state.package_name)
    _choose_latest(session, state.package_name)
    return state


@transactional_compensation("app_upload.leave_latest_version")
def leave_latest_version(state: AppUploadState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Let another version be the latest: this one is about to be withdrawn."""
    _hold_package(session, state.package_name)
    _choose_latest(session, state.package_name, but=state.app_id)


@external("app_upload.send_notification")
def send_notification(state: AppUploadState, key: IdempotencyKey) -> AppUploadState:
    """Tell another system of the new version, where the settings name one."""
    told = notices()
    if told is not None:
        version = ApplicationView.to_be(state).model_dump(
            by_alias=True, mode="json", exclude={"status", "is_latest"}
        )
        try:
            told.send(key, "app.available", version, now=datetime.now(UTC))
        except NoticeRefused as refused:
            raise Refused(str(refused), code="NOTICE_REFUSED") from refused
    return state


def _expect(state: AppUploadState, session: Session, expected: ApplicationStatus) -> None:
    """Refuse to move a record that somebody else moved meanwhile: a person must look."""
    status = session.scalar(
        select(Application.status).where(Application.id == state.app_id).with_for_update()
    )
    if status != expected:
        raise Refused(
            f"application {state.app_id} is {status or 'gone'}, not {expected}: somebody moved it "
            "while it was being uploaded",
            code="UNEXPECTED_STATUS",
        )


def _hold_package(session: Session, package_name: str) -> None:
    """Let nobody else choose the package's latest version until this transaction ends.

    Before any of its records is locked: two that choose would wait for each other for ever.
    """
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:package, 0))"),
        {"package": f"latest version of {package_name}"},
    )


def _choose_latest(session: Session, package_name: str, *, but: str | None = None) -> None:
    """Mark the available version with the greatest code, and no other one."""
    available = select(Application.id).where(
        Application.package_name == package_name,
        Application.status == ApplicationStatus.AVAILABLE,
        Application.id != (but or ""),
    )
    latest = session.scalar(available.order_by(Application.version_code.desc()).limit(1))
    others = update(Application).where(
        Application.package_name == package_name, Application.is_latest
    )
    if latest is not None:
        others = others.where(Application.id != latest)
    session.execute(others.values(is_latest=False))
    if latest is not None:
        session.execute(update(Application).where(Application.id == latest).values(is_latest=True))
