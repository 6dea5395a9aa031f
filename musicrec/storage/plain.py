"""Plain values: JSON, without secrets."""

from __future__ import annotations

import json
import math
from typing import Any

from musicrec.shown import SECRET, is_secret, masked, without_controls


def without_secrets(value: Any) -> Any:
    """Return JSON values with the credentials that they may hold replaced by ***."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {
            key: SECRET if isinstance(item, str) and is_secret(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    return [without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def without_nan(value: Any) -> Any:
    """Return JSON values with null for each NaN or infinity: what is not known, and what JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> str:
    """Return indented JSON that a terminal can show; NaN, which JSON does not have, is refused."""
    return without_controls(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
