"""The front: producers' HTTP endpoints and webhooks."""

from api.application import create_app

__all__ = ["create_app"]
