"""Contents on their way: what a store's refusal means, and for which rows."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from limpet.http.client import Client, NoAnswerError
from limpet.http.imports import ImportCalls
from limpet.http.object_puts import PutAnswer
from limpet.importing.contents import ContentUploader, FoundFile, refusal_of
from schemas.imports import ContentPlace, Import, RowContent
from schemas.manifest.local_files import CHANGED, InvalidFileError, digest

ID = UUID(int=0)
OPENED = Import.model_validate(
    {
        "id": ID,
        "href": f"/imports/{ID}",
        "batch": f"/batches/{ID}",
        "name": "n",
        "kind": "case-attachments",
        "nextRow": 0,
        "state": "open",
        "paused": False,
        "onConflict": "replace",
        "rowsPerSecond": None,
        "openedAt": "2026-01-01T00:00:00Z",
    }
)


def said(status: int, code: str) -> str:
    refusal = refusal_of(PutAnswer(status, f"<Error><Code>{code}</Code></Error>"))
    return f"{type(refusal).__name__}: {refusal}"


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"])
def test_other_bytes_than_were_signed_are_a_file_that_changed_in_any_stores_words(code: str) -> None:
    assert said(400, code) == f"InvalidFileError: {CHANGED}"


def test_a_refused_upload_makes_its_rows_invalid_and_a_transient_error_is_retried() -> None:
    assert said(400, "EntityTooLarge") == "InvalidFileError: is refused by the object store: HTTP 400 EntityTooLarge"
    for status, code in ((403, "AccessDenied"), (404, "NoSuchBucket"), (429, "SlowDown"), (503, "SlowDown")):
        assert said(status, code) == f"NoAnswerError: HTTP {status} {code}"
    assert isinstance(refusal_of(PutAnswer(307, "")), NoAnswerError)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "RequestTimeout"),
        (400, "ExpiredToken"),
        (400, "XMinioAdminBucketQuotaExceeded"),
        (409, "OperationAborted"),
        (301, "PermanentRedirect"),
        (400, "ACodeOfATomorrowsStore"),
    ],
)
def test_what_speaks_of_the_store_is_the_fault_of_no_row(status: int, code: str) -> None:
    assert said(status, code) == f"NoAnswerError: HTTP {status} {code}"


@pytest.mark.parametrize(
    "answer", [PutAnswer(413, "<html>too large</html>"), PutAnswer(400, "<Code>KeyTooLongError</Code>")]
)
def test_what_speaks_of_the_object_is_its_rows_own_fault(answer: PutAnswer) -> None:
    assert isinstance(refusal_of(answer), InvalidFileError)


def test_a_413_that_names_the_store_s_quota_waits() -> None:
    assert said(413, "QuotaExceeded") == "NoAnswerError: HTTP 413 QuotaExceeded"


class Store(BaseHTTPRequestHandler):
    """Takes the content whose hash is the path, and answers as MinIO does otherwise."""

    def do_PUT(self) -> None:
        """Take it or not."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = hashlib.sha256(body).hexdigest() == self.path[1:]
        answer = b"" if good else b"<Error><Code>XAmzContentChecksumMismatch</Code></Error>"
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def store() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_that_changed_harms_no_other_row_of_the_same_bytes(store: str, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "second", "third")]
    for path in paths:
        path.write_bytes(b"as it was")
    name = digest(paths[0])
    place = ContentPlace(**name.model_dump(), url=f"{store}/{name.sha256}", place="p")
    paths[0].write_bytes(b"otherwise")
    with Client(httpx.Client()) as client:
        contents = ContentUploader(tmp_path, ImportCalls(client, 0.0), OPENED)
        ends = contents.store_one([FoundFile(path, name) for path in paths], place)
        contents.close()
    first, second, third = (ends[path] for path in paths)
    assert isinstance(first, InvalidFileError)
    assert str(first) == CHANGED
    assert second == third == RowContent(**name.model_dump(), place="p")
    assert contents.uploaded == name.size
