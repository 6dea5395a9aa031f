import pytest

from musicrec.catalog.columns import find_columns, known_as, nearest_name, unit_said
from musicrec.errors import InputError

WANTED = ("track_id", "title", "release_date", "release_year", "duration_ms")


def found(names: list[str], **configured: str) -> dict[str, tuple[str, ...]]:
    return find_columns(names, wanted=WANTED, configured=configured, where="songs.csv")


# Headers of the tools that the README names, as they write them, and what they are.
HEADERS = {
    "Exportify": {
        "Track URI": "track_id", "Track Name": "title", "Album Name": "album", "Artist Name(s)": "artist",
        "Release Date": "release_date", "Duration (ms)": "duration_ms", "Popularity": "popularity",
        "Explicit": "explicit", "Added By": None, "Added At": None, "Genres": "genre", "Record Label": None,
        "Danceability": "danceability", "Energy": "energy", "Key": "key", "Loudness": "loudness", "Mode": "mode",
        "Speechiness": "speechiness", "Acousticness": "acousticness", "Instrumentalness": "instrumentalness",
        "Liveness": "liveness", "Valence": "valence", "Tempo": "tempo", "Time Signature": None,
    },
    "Exportify, older": {
        "Track URI": "track_id", "Artist URI(s)": None, "Album URI": None, "Album Artist URI(s)": None,
        "Album Release Date": "release_date", "Track Duration (ms)": "duration_ms", "Track Preview URL": None,
        "Disc Number": None, "Track Number": None, "Spotify ID": "track_id", "Spotify URI": "track_id",
    },
    "Spotify API": {
        "id": "track_id", "uri": "track_id", "name": "title", "artists": "artist", "album.name": "album",
        "album.release_date": "release_date", "track.id": "track_id", "track.artists": "artist",
        "track.album.name": "album", "audio_features.tempo": "tempo", "duration_ms": "duration_ms",
        "track_href": None, "analysis_url": None, "type": None, "album.id": None,
    },
    "Kaggle": {
        "track_artist": "artist", "track_album_name": "album", "track_album_release_date": "release_date",
        "track_popularity": "popularity", "playlist_genre": None, "track_genre": "genre", "album_name": "album",
        "artist(s)_name": "artist", "released_year": "release_year", "danceability_%": "danceability",
        "song_duration_ms": "duration_ms", "audio_valence": "valence", "Top Genre": "genre",
        "Beats Per Minute (BPM)": "tempo", "Loudness (dB)": "loudness", "Length (Duration)": "duration_ms",
        "Track.Name": "title", "Loudness..dB..": "loudness", "Valence.": "valence", "nrgy": "energy",
        "dnce": "danceability", "acous": "acousticness", "spch": "speechiness", "artist_ids": None,
        "artists names": "artist", "track id": "track_id", "year": "release_year",
    },
    "Chosic": {
        "Song": "title", "BPM": "tempo", "Dance": "danceability", "Acoustic": "acousticness", "Happy": "valence",
        "Speech": "speechiness", "Live": "liveness", "Loud (Db)": "loudness", "Album Date": "release_date",
        "Time": "duration_ms", "Spotify Track Id": "track_id", "Camelot": None,
    },
    "TuneMyMusic": {
        "Track name": "title", "Artist name": "artist", "Album": "album", "Playlist name": "playlist_id",
        "Type": None, "ISRC": "track_id", "Spotify - id": "track_id",
    },
    "Soundiiz": {"Title": "title", "Artist": "artist", "Album": "album", "Isrc": "track_id"},
    "Last.fm": {"artist": "artist", "track": "title", "track_mbid": "track_id", "uts": None, "album_mbid": None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "ours"), [(name, ours) for header in HEADERS.values() for name, ours in header.items()]
)
def test_names_that_tools_use(name: str, ours: str | None) -> None:
    place = known_as(name)
    assert (place and place[0]) == ours


def test_units_that_names_say() -> None:
    names = {"Duration (ms)": "ms", "length (s)": "s", "Duration (min)": "min", "danceability_%": "percent",
             "energy pct": "percent", "duration": None, "tempo": None, "items": None}  # fmt: skip
    assert {name: unit_said(name) for name in names} == names


def test_well_known_names_in_any_case() -> None:
    assert found(["URI", "Track_Name", "year"]) == {
        "track_id": ("URI",),
        "title": ("Track_Name",),
        "release_year": ("year",),
    }


def test_configured_beats_well_known() -> None:
    assert found(["id", "code"], track_id="code")["track_id"] == ("code",)
    # Written as people remember it.
    assert found(["Track Code"], track_id="track_code")["track_id"] == ("Track Code",)


def test_a_claimed_column_serves_only_once() -> None:
    assert found(["id", "track"], track_id="track", title="id") == {"track_id": ("track",), "title": ("id",)}


def test_a_sure_name_beats_one_that_may_mean_something_else() -> None:
    assert found(["url", "isrc", "id"])["track_id"] == ("id",)
    assert found(["isrc", "url"])["track_id"] == ("isrc",)
    assert found(["Time", "duration"])["duration_ms"] == ("duration",)


def test_several_columns_for_one_name_are_all_found_the_surest_first() -> None:
    assert found(["name", "title", "song_name"])["title"] == ("title", "name", "song_name")


def test_configured_column_must_exist_and_be_known() -> None:
    with pytest.raises(InputError, match="no such column"):
        found(["a"], track_id="b")
    with pytest.raises(InputError, match="unknown canonical names: volume"):
        found(["a"], volume="a")


def test_the_column_that_may_be_meant() -> None:
    assert nearest_name("track_id", ["x", "TrackRef"]) == "TrackRef"
    assert nearest_name("track_id", ["x", "y"]) is None
    assert nearest_name("danceability", ["dancability"]) == "dancability"
