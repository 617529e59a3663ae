"""What a saga is told when a provider calls back."""

from pydantic import BaseModel, ConfigDict


class RefundNotified(BaseModel):
    """A provider called back about a refund: ``status`` as it told it, None if it told none.

    It only wakes the refund: the provider is asked for its final word.
    """

    model_config = ConfigDict(frozen=True)

    refund_no: str
    status: str | None = None
