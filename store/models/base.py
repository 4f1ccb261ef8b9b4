"""What every row has in common: names of constraints, types of columns, ids, the clock."""

from __future__ import annotations

import datetime as dt
import secrets
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 -- rows outlive their transaction
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own spelling
        str: Text(),
        dt.datetime: DateTime(timezone=True),
        Json: JSONB(none_as_null=True),
        list[str]: JSONB(none_as_null=True),
    }


def new_id(prefix: str) -> str:
    """An opaque id such as `chk_3f9c…` (80 random bits)."""
    return f"{prefix}_{secrets.token_hex(10)}"


def one_of(kind: type[StrEnum], name: str) -> Enum:
    """A column that holds a state: text, with a constraint of that name."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        length=20,
        create_constraint=True,
        values_callable=lambda members: [member.value for member in members],
    )


now = func.clock_timestamp()
