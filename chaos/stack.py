"""The stack under test: ``limpet up`` on a folder of its own, which can be struck down and started again."""

import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psycopg

from chaos.load.requests import RESTRICTED
from chaos.processes import Process, parts, process
from limpet.embedded.errors import StartError
from limpet.embedded.home.ports import Reservations
from limpet.embedded.running import running_stack

_RESTART = 60.0  # seconds
_STARTS = 3

# Who changed which record, in the order in which it was done: twice the same place is an effect that came twice.
# A record whose comment begins with 'refuse' and a file of restricted access are refused in some seconds, so that there
# is something to retry in both families.
_WITNESS = f"""
CREATE TABLE chaos_effect (record text, key bigint, acceptance bigint, position int);
CREATE FUNCTION chaos_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos_effect VALUES (
    TG_TABLE_NAME, coalesce(to_jsonb(NEW) ->> 'case_attachment_key', to_jsonb(NEW) ->> 'id')::bigint,
    NEW.acceptance, NEW.position);
  RETURN NEW;
END $$;
CREATE TRIGGER chaos_witness AFTER INSERT OR UPDATE ON case_attachment FOR EACH ROW EXECUTE FUNCTION chaos_witness();
CREATE TRIGGER chaos_witness AFTER INSERT OR UPDATE ON file_attachment FOR EACH ROW EXECUTE FUNCTION chaos_witness();
CREATE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF extract(second FROM clock_timestamp())::int % 10 < 5 THEN
    RAISE EXCEPTION 'refused for some seconds' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER chaos_refuse BEFORE INSERT OR UPDATE ON case_attachment FOR EACH ROW
  WHEN (NEW.comment LIKE 'refuse%') EXECUTE FUNCTION chaos_refuse();
CREATE TRIGGER chaos_refuse BEFORE INSERT OR UPDATE ON file_attachment FOR EACH ROW
  WHEN (NEW.access_type = '{RESTRICTED}') EXECUTE FUNCTION chaos_refuse();
"""


class Stack:
    """One stack; start, stop and restart belong to one thread, with whose end it would stop as well."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._running = ExitStack()
        # Not the usual one, which somebody else may take while this stack is down.
        with Reservations() as free:
            self._port = free.take_any()

    def __enter__(self) -> Self:
        """Start it, and prepare its database for the look from outside."""
        self.start()
        self._note_commit_times()
        with self.database() as connection:
            connection.execute(_WITNESS)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._running.close()

    def start(self) -> None:
        """Start ``limpet up``, always on the same port; return when it is ready."""
        self.variables = self._started(_STARTS)
        found = process(int(self.variables["pid"]))
        assert found is not None, "what is ready runs"
        self.up: Process = found

    def _started(self, tries: int) -> dict[str, str]:
        try:
            return self._running.enter_context(running_stack(self.data, self._port))
        except StartError:
            # A machine that has no time for it is no fault of the stack; the time to recover tells how long it took.
            if tries == 1:
                raise
            return self._started(tries - 1)

    def restart(self) -> None:
        """Start it again after it has ended."""
        self._running.close()
        self.start()

    def database(self) -> psycopg.Connection:
        """Return a connection to database demo, each statement its own transaction; close it."""
        url: str = json.loads(self.variables["LIMPET_DATABASES"])["demo"]
        return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True, connect_timeout=3)

    def _note_commit_times(self) -> None:
        """Let the server note when each transaction was committed: that is the order in which things took effect."""
        with self.database() as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        (server,) = parts(self.data, "postgres", self.up.pid)
        server.send(signal.SIGINT)
        end = time.monotonic() + _RESTART
        while not self._notes_commit_times():
            if time.monotonic() > end:
                raise TimeoutError("the database did not come back")
            time.sleep(0.2)

    def _notes_commit_times(self) -> bool:
        try:
            with self.database() as connection:
                return connection.execute("SHOW track_commit_timestamp").fetchone() == ("on",)
        except psycopg.OperationalError:
            return False
