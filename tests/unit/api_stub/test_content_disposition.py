"""What Content-Disposition makes of a file name (RFC 6266, RFC 8187)."""

from urllib.parse import unquote

import pytest

from api_stub.response.download import disposition


@pytest.mark.parametrize(
    "name",
    [
        ".gitignore",
        "my\u3000file.txt",
        "a\u00a0b.txt",
        "name.",
        "\U0001f469\u200d\U0001f4bb.png",
        "r\u00e9sum\u00e9.pdf",
    ],
)
def test_a_harmless_name_comes_back_as_it_was(name: str) -> None:
    said = disposition(name)
    if name.isascii():
        assert said == f'attachment; filename="{name}"'
    else:
        assert unquote(said.partition("filename*=UTF-8''")[2]) == name


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Temp\\x.exe", "x.exe"),
        ("a\u202egpj.exe", "agpj.exe"),
        ('quo"te', "quo_te"),
        ("line\r\nSet-Cookie: a", "lineSet-Cookie_ a"),
    ],
)
def test_path_parts_quotes_and_what_misleads_are_gone(name: str, kept: str) -> None:
    assert disposition(name).startswith(f'attachment; filename="{kept}"')


@pytest.mark.parametrize("name", [None, "", "..", ". .", "a/", "/"])
def test_no_name_is_none(name: str | None) -> None:
    assert disposition(name) == "attachment"
