"""How long the command waits for a server that is away, and for one that holds it back."""

from collections.abc import Callable

import httpx
import pytest

from limpet.http.client import Client, HeldBackError, NoAnswerError
from limpet.http.imports import ImportCalls


def answering(*answers: Exception | int) -> Callable[[], int]:
    left = iter(answers)

    def call() -> int:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


def test_being_held_back_is_no_sign_of_trouble_and_silence_is() -> None:
    with Client(httpx.Client()) as client:
        calls = ImportCalls(client, patience=0.0)
        assert calls.patiently(answering(HeldBackError("later"), HeldBackError("later"), 5)) == 5
        with pytest.raises(NoAnswerError):
            calls.patiently(answering(NoAnswerError("away"), NoAnswerError("away"), 5))
