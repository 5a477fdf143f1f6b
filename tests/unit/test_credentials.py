"""The file of credentials, changed by several commands at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.credentials import add_api_key, read_credentials, remove_api_key


def test_of_changes_at_the_same_time_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    names = [f"name {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_api_key(file, name, ["demo"]), names))
        assert {key.name for key in read_credentials(file).api_keys} == set(names)
        assert all(pool.map(lambda name: remove_api_key(file, name), names))
    assert read_credentials(file).api_keys == []
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]
