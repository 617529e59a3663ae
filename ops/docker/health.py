"""Whether the process of a container is well, for Docker's health checks: exits 0 when it is.

``health.py url http://127.0.0.1:8000/readyz``: that URL answers 200.
``health.py node worker``: the worker of that name in this container answers over the broker.
``health.py scans``: beat's scans arrive, and recovery carries them out.
"""

import os
import sys
import urllib.request

PATIENCE_SECONDS = 10
# Scans come every SAGA_SCAN_SECONDS; one that is late by this is no longer on its way.
OLDEST_SCAN_SECONDS = 30


def url_answers(url: str) -> bool:
    # Not through the proxy that the environment may name.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=PATIENCE_SECONDS) as answer:
        return bool(answer.status == 200)  # noqa: PLR2004


def node_answers(name: str) -> bool:
    """Ask as `celery inspect ping` does, for a quarter of the time: without the application."""
    from celery import Celery  # noqa: PLC0415
    from celery.utils.nodenames import gethostname  # noqa: PLC0415

    celery = Celery(broker=os.environ["CELERY_BROKER_URL"])
    node = f"{name}@{gethostname()}"
    return bool(celery.control.ping(destination=[node], timeout=PATIENCE_SECONDS))


def scans_are_recent() -> bool:
    import psycopg2  # noqa: PLC0415

    database = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=PATIENCE_SECONDS)
    cursor = database.cursor()
    cursor.execute(
        "SELECT clock_timestamp() - at < make_interval(secs => %s) FROM saga_pulse "
        "WHERE name = 'recovery'",
        [OLDEST_SCAN_SECONDS],
    )
    return bool(cursor.fetchone() == (True,))


def main() -> None:
    match sys.argv[1:]:
        case ["url", url]:
            well = url_answers(url)
        case ["node", name]:
            well = node_answers(name)
        case ["scans"]:
            well = scans_are_recent()
        case _:
            sys.exit(__doc__)
    sys.exit(0 if well else "not well")


main()
