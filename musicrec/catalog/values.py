"""What stands in a column of an export, as text, number, date or id of ours."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, StringType

from musicrec.config import InputConfig
from musicrec.songs import (
    ID_PREFIXES,
)

# What exports write where a number is missing.
MISSING_NUMBERS = ("", "NA", "N/A", "null", "NULL", "None", "\\N")
NOT_A_NAME = ("", "NA")
WHITE_SPACE = " \t\n\r\f\v\u00a0\u2003\u3000\ufeff"


def quoted(name: str) -> Column:
    """Return a column of the source by its name, whatever characters that has."""
    return F.col("`" + name.replace("`", "``") + "`")


def text_of(column: Column, kind: DataType) -> Column:
    """Return a column as text; a list of texts joined by commas."""
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, StringType):
        return F.concat_ws(", ", column)
    return column.cast("string")


def stripped(text: Column) -> Column:
    """Return text without NUL and without white space around it."""
    # NUL ends a string for C readers and is refused by databases. No regular expression: one per text takes
    # longer than the rest of the cleaning.
    printable = F.when(F.contains(text, F.lit("\u0000")), F.translate(text, "\u0000", "")).otherwise(text)
    return F.btrim(printable, F.lit(WHITE_SPACE))


def short_text(column: Column, kind: DataType, *, settings: InputConfig) -> Column:
    """Return text of at most `input.expert.max_text_length` characters, NULL where none stands there.

    Parameters
    ----------
    column : Column
    kind : DataType
        Of the column.
    settings : InputConfig
    """
    # Cut first, so that a text of megabytes costs one copy; 64 more for the white space around it.
    cut = F.substring(text_of(column, kind), 1, settings.expert.max_text_length + 64)
    text = F.substring(stripped(cut), 1, settings.expert.max_text_length)
    return F.when(~text.isin(*NOT_A_NAME), text)


def track_id_of(source: tuple[Column, DataType] | None, *, settings: InputConfig) -> Column:
    """Return the id of a song: that of its column without prefix, else one made of `input.id_from`."""
    made = F.lit(None).cast("string")
    if settings.id_from:
        parts = [stripped(quoted(name).cast("string")) for name in settings.id_from]
        known = F.length(F.concat_ws("", *parts)) > 0
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        marked = [
            F.concat(F.length(F.coalesce(part, F.lit(""))), F.lit(":"), F.coalesce(part, F.lit("")))
            for part in parts
        ]
        made = F.when(known, F.substring(F.sha2(F.concat_ws("|", *marked), 256), 1, 32))
    if source is None:
        return made
    text = stripped(text_of(*source))
    bare = reduce(
        lambda t, p: F.when(t.startswith(p), F.substring(t, len(p) + 1, 2**30)).otherwise(t),
        ID_PREFIXES,
        text,
    )
    return F.coalesce(F.when(bare != "", bare), made)


def release_date_of(source: tuple[Column, DataType] | None) -> Column:
    """Return a day, a month or a year as ISO text, NULL where none stands there."""
    if source is None:
        return F.lit(None).cast("string")
    text = stripped(text_of(*source))
    # Day, month or year; "1985.0" is what pandas makes of a year column with gaps.
    date = F.regexp_extract(text, r"^((?:18|19|20)\d\d(?:-\d\d(?:-\d\d)?)?)(?:\.0+|[T ].*)?$", 1)
    return F.when(date != "", date)


def popularity_of(source: tuple[Column, DataType] | None) -> Column:
    """Return a finite number of at least 0, NULL where none stands there."""
    if source is None:
        return F.lit(None).cast("double")
    number = source[0].try_cast("double")
    return F.when(~F.isnan(number) & (number >= 0) & (number < float("inf")), number)


def explicit_of(source: tuple[Column, DataType] | None) -> Column:
    """Return true or false, NULL where neither stands there."""
    if source is None:
        return F.lit(None).cast("boolean")
    text = F.lower(stripped(text_of(*source)))
    return F.when(text.isin("true", "t", "yes", "y", "1", "1.0"), True).when(
        text.isin("false", "f", "no", "n", "0", "0.0"), False
    )


def raw_feature(source: tuple[Column, DataType] | None) -> Column:
    """Return a struct of the number and of whether something stood there; Parquet holds numbers, CSV text."""
    if source is None:
        return F.struct(F.lit(None).cast("double").alias("number"), F.lit(False).alias("given"))
    column, kind = source
    if not isinstance(kind, StringType):
        number = column.cast(DoubleType()) if _is_number(kind) else F.lit(None).cast("double")
        return F.struct(number.alias("number"), column.isNotNull().alias("given"))
    text = F.when(F.length(column) <= 64, F.trim(column)).otherwise(F.substring(column, 1, 64))
    given = F.coalesce(~text.isin(*MISSING_NUMBERS), F.lit(False))
    return F.struct(F.when(given, text.try_cast("double")).alias("number"), given.alias("given"))


def _is_number(kind: DataType) -> bool:
    return kind.simpleString().split("(")[0] in {
        "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "boolean",
    }  # fmt: skip
