"""The stack that everything is measured on: ours, and a database of their own for the peers, on the same servers."""

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

_PEERS = "peers"
_LONGEST = 120  # seconds
Body = bytes | Iterator[bytes] | None


@dataclass(frozen=True)
class Answer:
    """An answer of the API, read whole: its status, its body, and the seconds from the first byte sent."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Servers:
    """A running stack; ``variables`` are those of its two files."""

    data: Path
    variables: Mapping[str, str]

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        demo: str = json.loads(self.variables["LIMPET_DATABASES"])["demo"]
        return f"{demo.rpartition('/')[0]}/{database}"

    def connect(self, database: str) -> psycopg.Connection:
        """Return a connection, each statement its own transaction; close it."""
        return psycopg.connect(self.url(database).replace("postgresql+psycopg", "postgresql"), autocommit=True)

    def peers_environment(self) -> dict[str, str]:
        """Return how peers find the servers: redis databases of their own, the bucket shared."""
        broker = self.variables["LIMPET_BROKER_URL"].rpartition("/")[0]
        return {
            "BENCH_DATABASE": self.url(_PEERS),
            "BENCH_BROKER": f"{broker}/1",
            "BENCH_RESULTS": f"{broker}/2",
            "BENCH_S3_ENDPOINT": self.variables["LIMPET_S3_ENDPOINT"],
            "BENCH_S3_ACCESS_KEY": self.variables["LIMPET_S3_ACCESS_KEY"],
            "BENCH_S3_SECRET_KEY": self.variables["LIMPET_S3_SECRET_KEY"],
            "BENCH_S3_BUCKET": self.variables["LIMPET_S3_BUCKET"],
        }

    def empty_peers(self) -> None:
        """Remove the peers' records."""
        with self.connect(_PEERS) as connection:
            connection.execute("TRUNCATE case_attachment")

    def await_peers_rows(self, count: int) -> float:
        """Return the time (monotonic) at which the peers' table had ``count`` records.

        Raises:
            TimeoutError: it had fewer for two minutes.

        """
        end = time.monotonic() + _LONGEST
        with self.connect(_PEERS) as connection:
            while time.monotonic() < end:
                found = connection.execute("SELECT count(*) FROM case_attachment").fetchone()
                if found and found[0] >= count:
                    return time.monotonic()
                time.sleep(0.02)
        raise TimeoutError(f"the peer carried out {found and found[0]} of {count} items in {_LONGEST} s")

    def empty_ours(self, database: str) -> None:
        """Remove all records and the whole ledger of a database that has nothing to do."""
        with self.connect(database) as connection:
            connection.execute("TRUNCATE case_attachment, item, chunk, loader, import, batch CASCADE")

    def caller(self, database: str = "demo") -> "Caller":
        """Return one client of the API with a connection of its own."""
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
    """One keep-alive connection; the standard library's client, since a slower one would be measured with."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_LONGEST)
        self._headers = dict(headers)

    def send(self, method: str, path: str, body: Body = None, **headers: str) -> Answer:
        """Send one request and read the answer; pieces are sent as they come."""
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
    """Run a stack with a database for the peers while the block runs: the real tables, all columns and indexes."""
    with running_stack(data, workers=workers) as variables:
        servers = Servers(data, variables)
        with servers.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_PEERS)))
        engine = create_engine(servers.url(_PEERS))
        METADATA.create_all(engine)
        engine.dispose()
        yield servers
