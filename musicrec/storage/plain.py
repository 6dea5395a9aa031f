"""Plain values: JSON, without secrets."""

from __future__ import annotations

import json
import math
import re
from typing import Any

# user:password@ within a URI, and parameters that carry keys.
SECRET = re.compile(r"(?<=://)[^/@\s]+@|(?<=[?&])(?:sig|token|key|secret|password|x-amz-[\w-]+)=[^&\s]+", re.I)


def without_secrets(value: Any) -> Any:
    """Return JSON values with the credentials that a URI may hold replaced by ***."""
    if isinstance(value, str):
        return SECRET.sub(lambda match: "***@" if match.group().endswith("@") else "***", value)
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def without_nan(value: Any) -> Any:
    """Return JSON values with null for each NaN or infinity: what is not known, and what JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> str:
    """Return indented JSON; NaN, which JSON does not have, is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
