"""``python -m gateways.objects.sandbox --port 9000``: serve until it is ended."""

import argparse

from werkzeug.serving import WSGIRequestHandler, make_server

from gateways.objects.sandbox.server import Server


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing of each request."""

    def log_error(self, *args: object) -> None:
        """Say nothing of a connection that was cut, as it was ordered."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateways.objects.sandbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bucket", default="cloudphone-apps")
    given = parser.parse_args()
    application = Server(given.bucket)
    make_server(
        given.host, given.port, application, threaded=True, request_handler=_Quiet
    ).serve_forever()


if __name__ == "__main__":
    main()
