"""The front: producers' HTTP endpoints and webhooks."""
