"""Titles → the language that they tell, for a few languages: by small words that titles of others seldom have.

Enough to see that a song in one language is answered with songs in another; it says nothing of most titles. Where
the words of several languages stand in a title, it tells none.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.catalog.folding import folded
from musicrec.spark.arrow import bools

UNTOLD = -1
# Folded, so without accents.
SMALL_WORDS = {
    "English": "the|you|my|love|of|and|to|your|it|is|dont|in|on|for|with|we|this|im|all|what|when|youre|night",
    "Spanish": "el|los|las|mi|y|con|por|una|corazon|noche|contigo|quiero|vida|eres|yo|muy|ya|donde|esta|nada",
    "Portuguese": "voce|nao|meu|minha|coracao|uma|pra|sao|saudade|gosta|agora|mais|seu|comigo",
    "French": "je|les|une|des|est|dans|toi|moi|pas|cest|jai|avec|sur|nous|vous|coeur|mon|ma",
    "German": "ich|du|und|der|das|nicht|mein|dein|ist|wir|ein|eine|mit|fur|herz|nur|wenn|zu",
    "Italian": "il|che|di|sei|io|amore|della|cuore|mio|sono|senza|notte|ti|piu|gli|questa",
}
LANGUAGES = tuple(SMALL_WORDS)


def languages_of(titles: pa.StringArray) -> Ints:
    """Return the language of each title (n,), by its number in `LANGUAGES`, `UNTOLD` where it tells none."""
    whole = folded(pc.fill_null(titles, ""))
    told = np.stack(
        [bools(pc.match_substring_regex(whole, rf"\b(?:{words})\b")) for words in SMALL_WORDS.values()]
    )
    languages: Ints = np.where(told.sum(axis=0) == 1, told.argmax(axis=0), UNTOLD)
    return languages
