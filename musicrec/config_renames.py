"""Names of configuration keys that are no more: both old and new ones are understood for one version."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GONE_IN = "0.2.0"


def _moved(section: str, *names: str) -> dict[str, str]:
    return {f"{section}.{name}": f"{section}.expert.{name}" for name in names}


# Old name -> new name.
RENAMED: dict[str, str] = {
    **_moved("input", "max_text_length"),
    "model.holdout_share": "model.expert.validation_share",
    "model.judging_share": "model.expert.gate_share",
    **_moved("model", "dropout", "n_frequencies", "frequency_scale", "numeric_width"),
    **_moved("model", "playlist_weight", "artist_weight", "genre_weight", "min_songs", "batch_size"),
    **_moved("model", "learning_rate", "weight_decay", "temperature", "proxy_temperature"),
    **_moved("model", "hidden_songs", "input_noise", "patience", "n_threads"),
    "neighbors.leaf_size": "neighbors.expert.cell_size",
    **_moved("neighbors", "exact_below", "tau", "n_tables", "n_bits", "max_unit_rows", "n_truth_queries"),
    **{f"neighbors.{name}": f"lists.{name}" for name in ("one_per_work", "one_per_recording", "spread")},
    **_moved("favorites", "rank_constant"),
    **_moved("evaluate", "n_bootstrap", "first_split"),
}


@dataclass(frozen=True)
class Removal:
    """What a removed key is fixed at, and why."""

    fixed: float
    reason: str


REMOVED: dict[str, Removal] = {
    "model.contrastive_weight": Removal(
        0.0, "beside proxies this loss took three times as long and was no better"
    ),
    "model.proxy_weight": Removal(
        1.0, "the weights of playlists, artists and genres in model.expert say how much each counts"
    ),
}


@dataclass
class Translated:
    """A layer of configuration in today's names, what to tell the user of it, and what is wrong with it.

    Attributes
    ----------
    layer : dict
    sentences : dict
        Old name -> what became of it.
    renamed : dict
        New name -> the old one that was given in its place.
    findings : list of str
    """

    layer: dict[str, Any]
    sentences: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def translate(layer: Mapping[str, Any]) -> Translated:
    """Return a layer with old names replaced by new ones, and removed keys taken out."""
    translated = Translated(copy.deepcopy(dict(layer)))
    for section, table in list(translated.layer.items()):
        if isinstance(table, dict):
            for key in list(table):
                name = f"{section}.{key}"
                if name in RENAMED:
                    _rename(translated, table.pop(key), name)
                elif name in REMOVED:
                    _remove(translated, table.pop(key), name)
    return translated


def _rename(translated: Translated, value: Any, old: str) -> None:
    new, table = RENAMED[old], translated.layer
    *tables, new_key = new.split(".")
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            # The models say what is wrong with it.
            return
    if new_key in table:
        translated.findings.append(f"{old} is the old name of {new}, and both are given: keep {new}")
        return
    table[new_key] = value
    translated.renamed[new] = old
    translated.sentences[old] = f"{old} is now {new}; the old name will not be understood from {GONE_IN} on"


def _remove(translated: Translated, value: Any, name: str) -> None:
    removal = REMOVED[name]
    if value != removal.fixed:
        found = str(value)[:60]
        translated.findings.append(
            f"{name} was removed and is fixed at {removal.fixed} (found {found!r}): {removal.reason}; take it out"
        )
        return
    translated.sentences[name] = (
        f"{name} was removed and is ignored, as {removal.reason}; it will be an error from {GONE_IN} on"
    )
