"""The file of credentials, changed by several commands at once, and tokens that expire."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from api_stub.auth.credentials import (
    Caller,
    InvalidCredentialError,
    add_api_key,
    check_token,
    make_token,
    read_credentials,
    remove_api_key,
)

_SECRET = "a secret of thirty-two characters"


def test_of_changes_at_the_same_time_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    names = [f"name {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_api_key(file, name, ["demo"]), names))
        assert {key.name for key in read_credentials(file).api_keys} == set(names)
        assert all(pool.map(lambda name: remove_api_key(file, name), names))
    assert read_credentials(file).api_keys == []
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]


def test_a_token_that_was_good_is_refused_once_it_has_expired() -> None:
    expires = int(time.time()) + 2
    token = jwt.encode({"sub": "anna", "exp": expires, "databases": ["demo"]}, _SECRET, algorithm="HS256")
    assert check_token(_SECRET, token) == Caller("anna", frozenset({"demo"}), "demo")
    time.sleep(max(0, expires - time.time()))
    with pytest.raises(InvalidCredentialError, match="expired"):
        check_token(_SECRET, token)


def test_a_token_is_good_for_the_secret_that_signed_it_only() -> None:
    token = make_token(_SECRET, "anna", ["demo"], timedelta(minutes=1))
    assert check_token(_SECRET, token).name == "anna"
    with pytest.raises(InvalidCredentialError, match="not valid"):
        check_token(_SECRET[::-1], token)
