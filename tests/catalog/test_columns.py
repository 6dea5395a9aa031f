import pytest

from musicrec.catalog.columns import check_no_repeats, resolve_columns
from musicrec.errors import InputError


def resolve(names: list[str], wanted: tuple[str, ...] = ("track_id", "title", "release_date"), **configured: str):
    return resolve_columns(names, wanted=wanted, configured=configured, where="songs.csv")


def test_well_known_names_in_any_case() -> None:
    assert resolve(["URI", "Track_Name", "year"]) == {
        "track_id": "URI",
        "title": "Track_Name",
        "release_date": "year",
    }


def test_configured_beats_well_known() -> None:
    assert resolve(["id", "code"], track_id="code")["track_id"] == "code"


def test_a_claimed_column_serves_only_once() -> None:
    assert resolve(["id", "track"], track_id="track", title="id") == {"track_id": "track", "title": "id"}


def test_a_date_beats_a_year() -> None:
    assert resolve(["release_date", "year"])["release_date"] == "release_date"


def test_two_columns_for_one_name_names_both() -> None:
    with pytest.raises(InputError, match="'name', 'song_name'"):
        resolve(["name", "song_name"])


def test_configured_column_must_exist_and_be_known() -> None:
    with pytest.raises(InputError, match="no such column"):
        resolve(["a"], track_id="b")
    with pytest.raises(InputError, match="unknown canonical names: volume"):
        resolve(["a"], volume="a")


def test_a_header_that_repeats_a_name() -> None:
    with pytest.raises(InputError, match="positions 1 and 3"):
        check_no_repeats(["title0", "energy", "title2"], where="songs.csv")
    check_no_repeats(["x0", "energy", "x2", "title", "col4"], where="songs.csv")
