"""Guesses at a password, many of them at once."""

import base64
from collections import Counter
from pathlib import Path

import anyio

from api_stub.auth.credentials import InvalidCredentialError, add_user, read_credentials
from api_stub.auth.passwords import Passwords
from api_stub.problems import ProblemError


async def answers(passwords: Passwords, file: Path, words: list[str]) -> Counter[str]:
    """How often so many attempts at once end how."""
    found: Counter[str] = Counter()

    async def attempt(word: str) -> None:
        header = base64.b64encode(f"eve:{word}".encode()).decode()
        try:
            found[(await passwords.check(read_credentials(file), 1, header)).name] += 1
        except InvalidCredentialError:
            found["wrong"] += 1
        except ProblemError as refused:
            found[str(refused.type.status)] += 1

    async with anyio.create_task_group() as group:
        for word in words:
            group.start_soon(attempt, word)
    return found


def test_of_guesses_that_come_at_once_only_a_few_are_looked_at(tmp_path: Path) -> None:
    add_user(tmp_path / "credentials.json", "eve", "the right one", ["demo"])
    guesses = [f"guess {number}" for number in range(40)]
    found = anyio.run(answers, Passwords(), tmp_path / "credentials.json", guesses)
    assert found["wrong"] + found["429"] == 40
    assert found["wrong"] <= 15


def test_a_client_that_opens_many_connections_at_once_comes_in_with_all(tmp_path: Path) -> None:
    add_user(tmp_path / "credentials.json", "eve", "the right one", ["demo"])
    found = anyio.run(answers, Passwords(), tmp_path / "credentials.json", ["the right one"] * 40)
    assert found == {"eve": 40}
