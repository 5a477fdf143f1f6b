"""(e) FastAPI: the upsert in the request, without a queue."""

from datetime import datetime
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from bench.peers.table import engine, upsert_of

app = FastAPI()


class CaseAttachment(BaseModel):
    """One record as it is sent."""

    caseAttachment_Key: Annotated[int, Field(gt=0)]  # noqa: N815  the wire's names
    case_Key: Annotated[int, Field(ge=0)]  # noqa: N815
    attachment_File: Annotated[str | None, Field(max_length=255)] = None  # noqa: N815
    attachment_Path: Annotated[str | None, Field(max_length=500)] = None  # noqa: N815
    caseAttachment_Type: Annotated[str | None, Field(max_length=256)] = None  # noqa: N815
    comment: Annotated[str | None, Field(max_length=2048)] = None
    entry_User: Annotated[str | None, Field(max_length=20)] = None  # noqa: N815
    update_Date: datetime  # noqa: N815


@app.put("/case-attachments-batch", status_code=207)
def put_batch(items: list[CaseAttachment]) -> list[int]:
    """Create or replace all in one transaction."""
    with Session(engine) as session:
        session.execute(upsert_of(*map(row_of, items)))
        session.commit()
    return [200] * len(items)


def row_of(item: CaseAttachment) -> dict[str, object]:
    """Return the table's row for an item."""
    sent = {name.lower(): value for name, value in item.model_dump().items()}
    sent["case_attachment_key"] = sent.pop("caseattachment_key")
    sent["case_attachment_type"] = sent.pop("caseattachment_type")
    return sent | {"entry_date": item.update_Date, "update_user": "bench", "acceptance": 1, "position": 0}
