"""(g) minio-py alone: puts files into the bucket, several at once. The limit of the object store."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import urllib3
from minio import Minio

_BUCKET = os.environ["BENCH_S3_BUCKET"]


def prepare(folder: str, threads: int) -> Callable[[], list[float]]:
    """Return a function that puts every file of ``folder`` under its own key."""
    client = Minio(
        os.environ["BENCH_S3_ENDPOINT"],
        access_key=os.environ["BENCH_S3_ACCESS_KEY"],
        secret_key=os.environ["BENCH_S3_SECRET_KEY"],
        region="us-east-1",
        secure=False,
        http_client=urllib3.PoolManager(maxsize=threads),
    )
    files = sorted(Path(folder).iterdir())

    def put(file: Path) -> None:
        client.fput_object(_BUCKET, f"bench/{uuid4().hex}", str(file))

    def run() -> list[float]:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(put, files))
        return []

    return run
