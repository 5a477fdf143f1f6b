"""The stack under test: ``limpet up`` on its own folder, restarted after a fault."""

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

_RESTART_TIMEOUT_SECONDS = 60.0
_MAX_STARTS = 3

# chaos_witness notes which item changed which record: the same item twice is an effect that came twice.
# chaos_refuse refuses, half of the time, records whose comment begins with 'refuse' and files of restricted access, so
# both record types have failed items to retry.
_TRIGGERS = f"""
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
    """One stack. One thread must start, restart and stop it: the stack ends with that thread."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._running = ExitStack()
        # Not the default port, which another program may take while this stack is down.
        with Reservations() as free:
            self._port = free.take_any()

    def __enter__(self) -> Self:
        """Start the stack, enable commit timestamps and create the triggers."""
        self.start()
        self._enable_commit_timestamps()
        with self.database() as connection:
            connection.execute(_TRIGGERS)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the stack."""
        self._running.close()

    def start(self) -> None:
        """Start ``limpet up``, always on the same port; return when it is ready."""
        self.variables = self._start(_MAX_STARTS)
        found = process(int(self.variables["pid"]))
        assert found is not None, "a ready stack runs"
        self.up: Process = found

    def _start(self, tries: int) -> dict[str, str]:
        try:
            return self._running.enter_context(running_stack(self.data, self._port))
        except StartError:
            # A slow machine is no error of the stack; the recovery time shows how long the start took.
            if tries == 1:
                raise
            return self._start(tries - 1)

    def restart(self) -> None:
        """Start the stack again after its end."""
        self._running.close()
        self.start()

    def database(self) -> psycopg.Connection:
        """Return an autocommit connection to database demo; the caller closes it."""
        url: str = json.loads(self.variables["LIMPET_DATABASES"])["demo"]
        return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True, connect_timeout=3)

    def _enable_commit_timestamps(self) -> None:
        """Make the server record the time of each commit, which gives the order of effects."""
        with self.database() as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        (server,) = parts(self.data, "postgres", self.up.pid)
        server.send(signal.SIGINT)
        end = time.monotonic() + _RESTART_TIMEOUT_SECONDS
        while not self._has_commit_timestamps():
            if time.monotonic() > end:
                raise TimeoutError("the database did not come back")
            time.sleep(0.2)

    def _has_commit_timestamps(self) -> bool:
        try:
            with self.database() as connection:
                return connection.execute("SHOW track_commit_timestamp").fetchone() == ("on",)
        except psycopg.OperationalError:
            return False
