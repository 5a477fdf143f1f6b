"""A file's name on its way in: path parts drop."""

import pytest
from pydantic import ValidationError

from schemas.file_attachments import FileAction


@pytest.mark.parametrize("sent", ["a.pdf", "C:\\fakepath\\a.pdf", "D:\\b/a.pdf", "/tmp/a.pdf", "../a.pdf"])
def test_path_parts_drop_from_a_file_name(sent: str) -> None:
    assert FileAction.model_validate({"filename": sent}).file_name == "a.pdf"


@pytest.mark.parametrize("sent", ["/", "C:\\fakepath\\", "a/ "])
def test_a_path_without_a_file_name_is_invalid(sent: str) -> None:
    with pytest.raises(ValidationError, match="must have a name after its last"):
        FileAction.model_validate({"filename": sent})


def test_the_length_of_a_file_name_counts_without_its_path() -> None:
    assert FileAction.model_validate({"filename": "x" * 300 + "/a.pdf"}).file_name == "a.pdf"


def test_a_title_keeps_its_slashes() -> None:
    assert FileAction.model_validate({"title": "in/out", "filename": "b/a.pdf"}).title == "in/out"
