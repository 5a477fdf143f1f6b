"""Decode base64 to the letter of RFC 4648 §4, at once or piece by piece; white space is left out, as MIME needs it."""

import binascii
import string

_WHITESPACE = b" \t\r\n"
_ALPHABET = string.ascii_letters.encode() + string.digits.encode() + b"+/="


class Base64Decoder:
    """Decodes base64 piece by piece, to the letter of RFC 4648 §4 but for white space."""

    __slots__ = ("_padded", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._padded = False

    def decode(self, text: bytes) -> bytes:
        """Return what has become whole by ``text``.

        Raises:
            binascii.Error: the text is no base64.

        """
        if any(space in text for space in _WHITESPACE):  # ten times as fast as leaving out what is not there
            text = text.translate(None, _WHITESPACE)
        return self.decode_strictly(text)

    def decode_strictly(self, text: bytes | memoryview) -> bytes:
        """Return what has become whole by ``text``, which may have no white space; nothing has happened if it raises.

        Raises:
            binascii.Error: the text is no base64.

        """
        text = self._rest + text
        if text and self._padded:
            raise binascii.Error("text after the padding")
        whole_size = len(text) - len(text) % 4
        rest = text[whole_size:]
        if rest.translate(None, _ALPHABET):
            raise binascii.Error("no base64")
        padding = text.count(b"=", max(whole_size - 2, 0), whole_size)
        data = binascii.a2b_base64(memoryview(text)[:whole_size], strict_mode=True)
        if len(data) != whole_size // 4 * 3 - padding:  # Python takes "QUJD====", even when strict
            raise binascii.Error("padding after whole groups")
        self._rest, self._padded = rest, self._padded or padding > 0  # a piece may be empty
        return data

    @property
    def is_complete(self) -> bool:
        """Whether the text may end here."""
        return not self._rest


def decode(text: bytes) -> bytes:
    """Decode base64 (RFC 4648 §4) that is there as a whole; white space, which MIME encoders put in, is left out.

    Raises:
        binascii.Error: the text is no base64.

    """
    decoder = Base64Decoder()
    data = decoder.decode(text)
    if not decoder.is_complete:
        raise binascii.Error("the end is missing")
    return data
