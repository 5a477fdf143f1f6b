"""Sample attachments of three fictitious insurance claims: real files, made with the standard library."""

import base64
import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.case_attachment import CaseAttachment


@dataclass(frozen=True, slots=True)
class Sample:
    """One attachment to send. ``content`` is its bytes, None if it is stored elsewhere (``path``)."""

    key: int
    case: int
    file: str
    type: str
    content: bytes | None = None
    path: str | None = None

    def item(self) -> CaseAttachment:
        """Return the attachment as the API's record."""
        where = {"attachment_path": self.path} if self.path else {}
        bytes_ = {"attachment": base64.b64encode(self.content).decode()} if self.content is not None else {}
        return CaseAttachment(
            case_attachment_key=self.key,
            case_key=self.case,
            attachment_file=self.file,
            case_attachment_type=self.type,
            **where,
            **bytes_,
        )


def claims() -> list[Sample]:
    """Return twelve attachments: papers, photos, notes, and one with a path only."""
    water, hail, theft = 48213, 48377, 48402
    note = b"Caller reports water under the sink since Sunday night. Main valve closed. Plumber ordered.\n"
    mail = b"From: j.rivera@example.org\r\nSubject: Hail damage\r\n\r\nPhotos attached, roof and car.\r\n"
    items = b"item,bought,price\nbicycle,2024-05-11,1290.00\nlock,2024-05-11,89.90\nhelmet,2025-03-02,74.50\n"
    return [
        Sample(700101, water, "claim-form-48213.pdf", "claim form", pdf("Claim 48213", ["Burst pipe in the kitchen"])),
        Sample(700102, water, "kitchen-ceiling.png", "photo", png(1000, 750)),
        Sample(700103, water, "kitchen-floor.png", "photo", png(240, 180)),
        Sample(700104, water, "plumber-invoice-2291.pdf", "invoice", pdf("Invoice 2291", ["4 h at 68.00", "272.00"])),
        Sample(700105, water, "phone-note-2026-11-16.txt", "note", note),
        Sample(700106, hail, "claim-form-48377.pdf", "claim form", pdf("Claim 48377", ["Hail: roof and car"])),
        Sample(700107, hail, "car-bonnet.png", "photo", png(320, 240)),
        Sample(700108, hail, "mail-from-customer.eml", "letter", mail),
        Sample(700109, hail, "drone-survey.mp4", "video", path="//files/claims/48377/drone-survey.mp4"),
        Sample(700110, theft, "claim-form-48402.pdf", "claim form", pdf("Claim 48402", ["Bicycle, from the cellar"])),
        Sample(700111, theft, "police-report.pdf", "report", pdf("Report 11-0937", ["No witnesses", "Lock cut"])),
        Sample(700112, theft, "stolen-items.csv", "list", items),
    ]


def follow_up() -> list[CaseAttachment]:
    """Return three receipts; the base64 of the second is truncated and does not decode."""
    first, second, third = (
        Sample(700113 + n, 48402, name, "receipt", pdf(name, ["Total 1,454.40"]))
        for n, name in enumerate(("receipt-shop.pdf", "receipt-scan.pdf", "receipt-online.pdf"))
    )
    broken = second.item()
    broken.attachment = broken.attachment[:-5]
    return [first.item(), broken, third.item()]


def png(width: int, height: int) -> bytes:
    """Return a PNG (RFC 2083): a grainy grey sky, the same at each call."""
    grain = random.Random(width)  # noqa: S311  no secret
    rows = (b"\0" + grain.randbytes(3 * width).translate(_shade(128 - 80 * row // height)) for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits each of red, green, blue
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _shade(base: int) -> bytes:
    return bytes(base + n % 128 for n in range(256))


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pdf(title: str, lines: Sequence[str]) -> bytes:
    """Return a PDF of one page (ISO 32000-1 §7.5). Title and lines are ASCII without brackets."""
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    page = f"BT /F1 20 Tf 72 770 Td 32 TL ({title}) Tj T* /F1 12 Tf 18 TL {shown} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>>>>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return _pdf_file(objects)


def _pdf_file(objects: Iterable[bytes]) -> bytes:
    """Return the file of ``objects``; the first one is its root."""
    file = b"%PDF-1.4\n"
    table = b"0000000000 65535 f \n"
    for number, content in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    size = len(table) // 20
    return file + b"xref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(file),
    )
