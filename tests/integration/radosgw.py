"""Ceph on one node with its S3 gateway, started from Debian's packages where a run asks for it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from gateways.objects.accounts import BucketAccount
from tests.integration.bucket import free_port

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_KEY, _SECRET, _BUCKET = "ourkey", "oursecret", "cloudphone-apps"
_CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false
osd_objectstore = bluestore
bluestore_block_size = 5368709120
bluestore_block_db_create = false
bluestore_block_wal_create = false
osd_memory_target = 939524096
log_file = {folder}/$name.log
mon_data = {folder}/mon
osd_data = {folder}/osd
run_dir = {folder}
admin_socket = {folder}/$name.asok
mon_data_avail_crit = 1
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_data = {folder}/rgw
rgw_gc_obj_min_wait = 10
"""


@contextmanager
def open_radosgw() -> Iterator[BucketAccount]:
    """A bucket of a Ceph that runs while the block does."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    assert not missing, f"install ceph-mon, ceph-osd and radosgw: {', '.join(missing)} is missing"
    folder = Path(tempfile.mkdtemp(prefix="saga-ceph-"))
    servers: list[subprocess.Popen[bytes]] = []
    try:
        yield _start(folder, servers)
    finally:
        for server in reversed(servers):
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(20)
            server.kill()
            server.wait()
        shutil.rmtree(folder)


def _start(folder: Path, servers: list[subprocess.Popen[bytes]]) -> BucketAccount:
    fsid, port = str(uuid4()), free_port()
    v2, v1 = free_port(), free_port()
    configuration = folder / "ceph.conf"
    configuration.write_text(
        _CONFIGURATION.format(fsid=fsid, folder=folder, port=port, v2=v2, v1=v1)
    )
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()

    def run(*command: str) -> str:
        done = subprocess.run(
            [command[0], "-c", str(configuration), *command[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def serve(*command: str) -> None:
        with (folder / f"{command[0]}.out").open("wb") as out:
            servers.append(
                subprocess.Popen(
                    [command[0], "-c", str(configuration), *command[1:], "-f"],
                    stdout=out,
                    stderr=out,
                )
            )

    monmap = str(folder / "monmap")
    addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    subprocess.run(
        ["monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, monmap],
        check=True,
        capture_output=True,
        env=os.environ | {"CEPH_CONF": str(configuration)},
    )
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
    serve("ceph-mon", "-i", "a")
    osd = str(uuid4())
    run("ceph", "--connect-timeout", "30", "osd", "new", osd)
    run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    serve("ceph-osd", "-i", "0")
    serve("radosgw", "-n", "client.rgw.a")
    url = f"http://127.0.0.1:{port}"
    _await(url, servers)
    keys = ("--access-key", _KEY, "--secret-key", _SECRET)
    run("radosgw-admin", "user", "create", "--uid", "us", "--display-name", "us", *keys)
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=_KEY,
        aws_secret_access_key=_SECRET,
    )
    _make_bucket(client)
    return BucketAccount(
        bucket=_BUCKET,
        region="us-east-1",
        access_key_id=_KEY,
        secret_access_key=_SECRET,
        endpoint=url,
    )


def _await(url: str, servers: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert all(server.poll() is None for server in servers), "a part of Ceph ended"
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=2).status_code < 500:
                return
        time.sleep(0.5)
    pytest.fail("radosgw does not answer")


def _make_bucket(client: object) -> None:
    for _ in range(20):
        try:
            client.create_bucket(Bucket=_BUCKET)  # type: ignore[attr-defined]
        except ClientError:
            time.sleep(1)  # its pools are being made
        else:
            return
    pytest.fail("radosgw makes no bucket")
