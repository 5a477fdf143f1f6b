"""Writes ``server.env`` for our processes and ``client.env`` for users of the API."""

import os
from dataclasses import replace
from datetime import timedelta

from api_stub.auth.credentials import add_api_key, add_user, check_password, make_token, read_credentials
from limpet.embedded.endpoints import environment_of
from limpet.embedded.home.keyring import write_keyring
from limpet.embedded.home.plan import PROCESSES_PER_WORKER, Plan
from limpet.embedded.home.variables import write_environment

_CLIENT_NAME = "demo"
_TOKEN_LIFETIME = timedelta(days=30)
# Such variables override the arguments of the tools that we run, so the user's own are not inherited.
_EXCLUDED_PREFIXES = ("CELERY_", "FLOWER_", "UVICORN_")


def write_server_environment(plan: Plan) -> dict[str, str]:
    """Write ``server.env`` and return the whole environment for our processes."""
    ours = {
        **environment_of(plan.stores),
        "LIMPET_JWT_SECRET": plan.jwt_secret,
        "LIMPET_CREDENTIALS": str(plan.home / "credentials.json"),
        "LIMPET_PUBLIC_URL": plan.api_url,
        "LIMPET_WORKER_PROCESSES": str(plan.workers * PROCESSES_PER_WORKER),
        "FLOWER_BASIC_AUTH": f"{plan.keyring.user}:{plan.keyring.password}",
    }
    write_environment(plan.home / "server.env", ours)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_EXCLUDED_PREFIXES)}
    return {**inherited, **ours}


def write_client_environment(plan: Plan) -> None:
    """Write ``client.env``: URLs and credentials for the API and Flower."""
    names = list(plan.stores.databases)
    _ensure_user(plan, names)
    write_environment(
        plan.home / "client.env",
        {
            "LIMPET_URL": plan.api_url,
            "LIMPET_DATABASE": names[0],
            "LIMPET_API_KEY": _ensure_api_key(plan, names),
            "LIMPET_TOKEN": make_token(plan.jwt_secret, _CLIENT_NAME, names, _TOKEN_LIFETIME),
            "LIMPET_USER": plan.keyring.user,
            "LIMPET_PASSWORD": plan.keyring.password,
            "LIMPET_FLOWER_URL": plan.flower_url,
        },
    )


def _ensure_api_key(plan: Plan, databases: list[str]) -> str:
    """Return the client's API key; make a new one if none allows exactly these databases."""
    file = plan.home / "credentials.json"
    known = any(key.name == _CLIENT_NAME and key.databases == databases for key in read_credentials(file).api_keys)
    if plan.keyring.api_key and known:
        return plan.keyring.api_key
    clear = add_api_key(file, _CLIENT_NAME, databases)
    write_keyring(plan.home.secrets, replace(plan.keyring, api_key=clear))
    return clear


def _ensure_user(plan: Plan, databases: list[str]) -> None:
    """Register the keyring's user and password; the first of ``databases`` is its default."""
    file, keyring = plan.home / "credentials.json", plan.keyring
    known = next((user for user in read_credentials(file).users if user.name == keyring.user), None)
    if known is None or known.databases != databases or not check_password(known, keyring.password):
        add_user(file, keyring.user, keyring.password, databases)
