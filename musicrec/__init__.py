"""musicrec: a Spark batch job that turns a catalog of songs into recommendations."""

__version__ = "0.1.0"
