"""Applications: the APKs that were uploaded."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of


class ApplicationStatus(StrEnum):
    UPLOADING = "uploading"
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"
    DELETED = "deleted"


class Application(Base):
    """One version of an application, named by its package. Its id is that of its upload's saga.

    ``object_key`` is where its file is in the object store once it is ``available``. Of a package
    at most one version is the latest: the available one with the greatest ``version_code``.
    """

    __tablename__ = "applications"
    __table_args__ = (
        one_of("status", ApplicationStatus, name="applications_status_is_known"),
        CheckConstraint("version_code > 0", name="applications_version_code_is_positive"),
        CheckConstraint("size_bytes > 0", name="applications_size_is_positive"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="applications_sha256_is_one"),
        CheckConstraint(
            "NOT is_latest OR status = 'available'", name="applications_latest_is_available"
        ),
        UniqueConstraint("package_name", "version_code", name="applications_version_is_there_once"),
        Index(
            "applications_latest",
            "package_name",
            unique=True,
            postgresql_where=text("is_latest"),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    package_name: Mapped[str] = mapped_column(Text)
    version_code: Mapped[int] = mapped_column(BigInteger)
    version_name: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JSONB)
    min_sdk: Mapped[int] = mapped_column(Integer)
    target_sdk: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    object_key: Mapped[str] = mapped_column(Text, unique=True)
    status: Mapped[str] = mapped_column(Text)
    is_latest: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    available_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
