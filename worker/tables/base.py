"""The base class of all tables, and the type of timestamps."""

from sqlalchemy import (
    BigInteger,
    MetaData,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

Instant = TIMESTAMP(timezone=True)


class Base(DeclarativeBase):
    """The base of all tables."""

    # Python's int is PostgreSQL's bigint unless a column overrides it.
    type_annotation_map = {int: BigInteger}  # noqa: RUF012  read by SQLAlchemy, not changed
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
