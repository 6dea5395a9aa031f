"""What values of the configuration may be, a name for each kind, and the model of a section."""

from __future__ import annotations

import codecs
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Weight = Annotated[float, Field(ge=0.0)]
AboveZero = Annotated[float, Field(gt=0.0)]


def _known_encoding(name: str) -> str:
    """Return an encoding by the name that Python has for it."""
    try:
        return name if name == "auto" else codecs.lookup(name).name
    except LookupError:
        raise ValueError(
            "no such encoding; known are utf-8, cp1252, latin-1, utf-16 and all others of Python"
        ) from None


Encoding = Annotated[str, AfterValidator(_known_encoding)]
Delimiter = Annotated[str, Field(pattern=r"^[\x09\x20-\x7e]?$", description="one character, or empty")]
# The description stands for a pattern where people read its range.
CatalogName = Annotated[str, Field(pattern=r"^([\w-]+(\.[\w-]+)+)?$", description="CATALOG.NAMESPACE, or empty")]
MemorySize = Annotated[str, Field(pattern=r"^\d+[mgMG]$", description="a whole number, then m or g")]


# A value that more than half share is the middle one: one that fewer share is not looked for.
Majority = Annotated[float, Field(ge=0.5, le=1.0)]


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
