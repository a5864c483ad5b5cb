"""A real server that speaks S3's protocol."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import fsspec
import pytest
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def running_s3() -> Iterator[str]:
    """Have the URL of a bucket inside the block; this process and those that it starts find the server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "of-no-use")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # an earlier server's, with its address, are remembered
        fsspec.filesystem("s3").clear_instance_cache()
        with contextlib.suppress(FileExistsError):  # all servers of a process have the same buckets
            fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()
