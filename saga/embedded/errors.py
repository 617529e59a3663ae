"""What can go wrong with the bundled servers."""


class EmbeddedError(Exception):
    """A bundled server cannot be set up or started; the message says what to do."""
