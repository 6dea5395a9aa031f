"""Titles, albums and genres → what they say a song is: live, karaoke, for the holidays, a remix.

Words alone are not enough: "Live and Let Die" is no concert, "Karaoke" alone is the name of a song, Santa Fe is
a town. So what says how a song was made is looked for where catalogs write it, in brackets, after a dash or a
colon, and songs of the season are told by words that hardly stand anywhere else. The words are those of English,
Spanish, Portuguese, French, Italian, German, Dutch, Swedish and Polish, and the best known ones of Russian,
Japanese, Chinese and Korean.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.spark.arrow import bools, numbers
from musicrec.traits import BY_GENRE, HOLIDAY, KARAOKE, LIVE, REMIX

# What a text must hold to say anything: most hold nothing of it, and one expression that tells takes as long for
# all titles of a catalog as Python for a few hundredths of them.
STEMS = (
    "live|vivo|direct|concert|public|unplugged|ライブ|"
    "karaok|カラオケ|伴奏|노래방|in the style of|originally performed|made famous|backing track|sing.?a.?long|"
    "christmas|x.?mas|navid|no.{1,2}l|natal|weihnacht|santa|jingle|silent night|stille nacht|noche de paz|"
    "noite feliz|douce nuit|rudol|snowman|the hall|it snow|wonderland|sleigh|mistletoe|holy night|drummer boy|"
    "holly jolly|wonderful time|underneath the tree|"
    "herald|faithful|auld lang|hanuk|chanuk|kwanzaa|yule|nutcracker|villancico|reindeer|grinch|of the bells|"
    "merry gentlemen|kerst|god jul|juls.{1,2}ng|narodzen|kol.{1,2}d|рождеств|новы. ?год|новыи. год|новогодн|"
    "クリスマス|圣诞|聖誕|크리스마스|holiday|"
    "remix|rmx|remezcla|bootleg|mash.?up|re.?work|refix"
)
_PLACES = (
    "at|in|from|on|the|@|im|aus|auf|en|a|au|aux|no|na|em|version|versions|session|sessions|recording|take|acoustic|"
    "performance|bonus|video|album|edit|mix|tour|concert|cut|track|[0-9]+"
)
_LIVE = re.compile(
    rf"^(?:live|recorded live|live recorded|live (?:{_PLACES})(?: .*)?|"
    r".* live (?:at|from|version|session|recording)(?: .*)?|"
    r"(?:.* )?(?:acoustic|recorded|unplugged|mtv|bbc|tour|sessions?|radio|concert|[0-9]{4}) live|"
    r"(?:.* )?(?:ao vivo|en vivo|in vivo|dal vivo|en directo|en direct|en concert|in concert|en public|"
    r"(?:mtv )?unplugged)(?: .*)?)$|ライブ"
)
# What albums say as a whole.
_LIVE_ALBUM = re.compile(
    r"^live$|^live (?:at|from) |^live in (?!(?:the )?(?:moment|color|love|life|peace|present|dream|fear))|"
    r"\b(?:mtv|bbc) (?:unplugged|live)\b|\bunplugged\b|\b(?:ao vivo|en vivo|dal vivo|en directo|in concert)\b"
)
_KARAOKE = re.compile(
    r"karaoke (?:version|track|instrumental|backing|mix|edit)|in the style of|originally performed by|"
    r"made famous by|backing track|sing ?a ?long version|カラオケ|노래방"
)
_KARAOKE_PART = re.compile(r"\bkaraoke\b|カラオケ|伴奏")
_HOLIDAY = re.compile(
    r"\b(?:christmas\w*|x ?mas|navidad|navidades|navidenas?|navidenos?|joyeux noel|petit papa noel|papa noel|"
    r"(?:first|vive le vent|de|sapin|chants?|chansons?) noel|natale|feliz natal|de natal|e natal|"
    r"no natal|weihnacht\w*|santa (?:claus|clause|baby|bring|please|tell me|is coming|cant you|looked|"
    r"dont|wont|stole|paws)|santas (?:coming|gonna|sleigh|helper|little|workshop|list)|(?:dear|hey|hi|comes|"
    r"kissing|naughty|secret|thank you|believe in|oh|from|for) santa(?=$)|dear santa|jingle ?bells?|silent night|"
    r"stille nacht|noche de paz|noite feliz|douce nuit|rudol(?:ph|f) the|snowman|deck the halls?|let it snow|"
    r"winter wonderland|sleigh ?rides?|mistletoe|holly jolly|most wonderful time of the year|underneath the tree|"
    r"oh? holy night|little drummer boy|hark the herald|come all ye faithful|"
    r"auld lang syne|hanukk?ah?|chanukah?|kwanzaa|yule(?:tide)?|nutcracker|villancicos?|reindeers?|grinch|"
    r"carol of the bells|merry gentlemen|kerst(?:mis|nacht|lied|liedjes|feest|tijd)?|"
    r"god jul|julsang\w*|boze narodzenie|kolend[ay]|koled[ay]|"
    r"happy holidays?|for the holidays|holiday season)\b|"
    r"рождеств|новыи год|новогодн|クリスマス|圣诞|聖誕|크리스마스"
)
_NO_HOLIDAY = re.compile(r"\bnoel (?:gallagher|coward|pointer|harrison)")
_HOLIDAY_GENRE = re.compile(r"\bholidays?\b")
_REMIX = re.compile(r"\b(?:remix|remixed|remixes|rmx|remezcla|bootleg|mash ?up|re ?work(?:ed)?|refix)\b")
# An album of remixes has originals, too.
_REMIX_END = re.compile(r"\w (?:remix|rmx)$")
_BRACKET, _AFTER = re.compile(r"[(\[{<（【「]([^)\]}>）】」]*)"), re.compile(r"(?:\s[-–—~|]+\s+|: )")
_APOSTROPHES = "'’`´ʼ"


def flags_of_text(text: str, column: str) -> int:
    """Return what a text says a song is, bits of `traits.FLAGS`.

    Parameters
    ----------
    text : str
    column : {"title", "album", "genre"}
        What it is of.
    """
    plain = _plain(text)
    whole = _words(plain)
    bare = _BRACKET.sub(" ", plain)
    parts = [_words(part) for part in (*_BRACKET.findall(plain), *_AFTER.split(bare)[1:])]
    flags = 0
    if any(map(_LIVE.search, parts)) or (column == "album" and _LIVE_ALBUM.search(whole)):
        flags |= LIVE
    # An album of that name is of nothing else, a song may have it for a title.
    if _KARAOKE.search(whole) or any(map(_KARAOKE_PART.search, parts if column == "title" else [whole])):
        flags |= KARAOKE
    if _HOLIDAY.search(_NO_HOLIDAY.sub(" ", whole)) or (column == "genre" and _HOLIDAY_GENRE.search(whole)):
        flags |= HOLIDAY
    # An album of that name alone is a singer's.
    flags |= HOLIDAY * (column == "title" and whole == "noel")
    if _REMIX_END.search(whole) or (column == "title" and any(map(_REMIX.search, parts))):
        flags |= REMIX
    return flags | LIVE * (column == "genre" and whole == "live")


def find_flags(titles: pa.StringArray, albums: pa.StringArray, genres: pa.StringArray) -> Ints:
    """Return what the texts of songs (n,) say that they are, bits of `traits.FLAGS`, and `BY_GENRE`.

    Parameters
    ----------
    titles, albums, genres : pyarrow.StringArray, length n
        NULL where they are not known.
    """
    flags = np.zeros(len(titles), dtype=np.int64)
    for column, texts in (("title", titles), ("album", albums), ("genre", genres)):
        encoded = pc.dictionary_encode(texts) if column != "title" else None
        distinct = texts if encoded is None else encoded.dictionary
        may_say = bools(pc.fill_null(pc.match_substring_regex(distinct, f"(?i){STEMS}"), False))
        found = np.zeros(len(distinct) + 1, dtype=np.int64)
        rows = np.flatnonzero(may_say)
        found[rows] = [flags_of_text(text, column) for text in distinct.take(pa.array(rows)).to_pylist()]
        # NULL is the last of the dictionary.
        said = found[:-1] if encoded is None else found[numbers(pc.fill_null(encoded.indices, len(distinct)))]
        flags |= said | (BY_GENRE * (said & ~flags) if column == "genre" else 0)
    return flags


def _plain(text: str) -> str:
    """Return text without case, accents and apostrophes."""
    letters = re.sub(f"[\u0300-\u036f{_APOSTROPHES}]", "", unicodedata.normalize("NFKD", text.casefold()))
    # Marks of kana and hangul are letters of their own when they are composed again.
    return unicodedata.normalize("NFC", letters).replace("ł", "l")


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w@]+", text))
