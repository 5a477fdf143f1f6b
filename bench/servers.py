"""The measured stack: Limpet, and on the same servers a separate database for the peers."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import create_engine

from limpet.embedded.running import running_stack
from worker.tables.metadata import METADATA

_PEER_DATABASE = "peers"
_TIMEOUT_SECONDS = 120
Body = bytes | Iterator[bytes] | None


@dataclass(frozen=True)
class Answer:
    """An answer of the API: status, whole body, and seconds since the first byte sent."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Servers:
    """A running stack; ``variables`` are those of ``client.env`` and ``server.env``."""

    data: Path
    variables: Mapping[str, str]

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        demo: str = json.loads(self.variables["LIMPET_DATABASES"])["demo"]
        return f"{demo.rpartition('/')[0]}/{database}"

    def connect(self, database: str) -> psycopg.Connection:
        """Return an autocommit connection; the caller closes it."""
        return psycopg.connect(self.url(database).replace("postgresql+psycopg", "postgresql"), autocommit=True)

    def peers_environment(self) -> dict[str, str]:
        """Return the peers' environment: Redis databases of their own, the shared bucket."""
        broker = self.variables["LIMPET_BROKER_URL"].rpartition("/")[0]
        return {
            "BENCH_DATABASE": self.url(_PEER_DATABASE),
            "BENCH_BROKER": f"{broker}/1",
            "BENCH_RESULTS": f"{broker}/2",
            "BENCH_S3_ENDPOINT": self.variables["LIMPET_S3_ENDPOINT"],
            "BENCH_S3_ACCESS_KEY": self.variables["LIMPET_S3_ACCESS_KEY"],
            "BENCH_S3_SECRET_KEY": self.variables["LIMPET_S3_SECRET_KEY"],
            "BENCH_S3_BUCKET": self.variables["LIMPET_S3_BUCKET"],
        }

    def empty_peers(self) -> None:
        """Remove the peers' records."""
        with self.connect(_PEER_DATABASE) as connection:
            connection.execute("TRUNCATE case_attachment")

    def await_peers_rows(self, count: int) -> float:
        """Wait until the peers' table has ``count`` records; return the monotonic time.

        Raises:
            TimeoutError: it has fewer after two minutes.

        """
        end = time.monotonic() + _TIMEOUT_SECONDS
        with self.connect(_PEER_DATABASE) as connection:
            while time.monotonic() < end:
                found = connection.execute("SELECT count(*) FROM case_attachment").fetchone()
                if found and found[0] >= count:
                    return time.monotonic()
                time.sleep(0.02)
        raise TimeoutError(f"the peer carried out {found and found[0]} of {count} items in {_TIMEOUT_SECONDS} s")

    def empty_ours(self, database: str) -> None:
        """Remove all records and the whole ledger of an idle database."""
        with self.connect(database) as connection:
            connection.execute("TRUNCATE case_attachment, item, chunk, loader, import, batch CASCADE")

    def caller(self, database: str = "demo") -> "Caller":
        """Return a client of the API with its own connection."""
        return Caller(
            self.variables["LIMPET_URL"],
            {
                "vbasoftware-database": database,
                "x-api-key": self.variables["LIMPET_API_KEY"],
                "Authorization": f"Bearer {self.variables['LIMPET_TOKEN']}",
                "Content-Type": "application/json",
            },
        )


class Caller:
    """One keep-alive connection of http.client: a slower client would distort the measurements."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        target = urlsplit(url)
        self._connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_TIMEOUT_SECONDS)
        self._headers = dict(headers)

    def send(self, method: str, path: str, body: Body = None, **headers: str) -> Answer:
        """Send one request and read the answer; an iterator's pieces are sent one by one."""
        began = time.perf_counter()
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, sent)
        response = self._connection.getresponse()
        read = response.read()
        return Answer(response.status, read, time.perf_counter() - began)

    def put(self, body: Body, **headers: str) -> Answer:
        """Send one batch."""
        return self.send("PUT", "/case-attachments-batch", body, **headers)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def running_servers(data: Path, workers: int = 2) -> Iterator[Servers]:
    """Run a stack while the block runs, with a database for the peers that has the real tables and indexes."""
    with running_stack(data, workers=workers) as variables:
        servers = Servers(data, variables)
        with servers.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_PEER_DATABASE)))
        engine = create_engine(servers.url(_PEER_DATABASE))
        METADATA.create_all(engine)
        engine.dispose()
        yield servers
