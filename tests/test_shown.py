"""Text as it leaves the program: secrets and orders to a terminal never do, ordinary text stays as it is."""

import io
import json
import logging
import re
import time
import tomllib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec import cli, console, errors
from musicrec.shown import cleaned, is_secret, masked, one_line, without_controls
from musicrec.storage import plain

# What a password may be made of in a URI, percent signs, slashes and @ included; never one that text holds anyway.
PASSWORDS = st.text("abcXYZ019%/+=@:!$*-_.~", max_size=12).map(lambda middle: f"q7{middle}7Q")
# Of a value in a list of parameters.
VALUES = st.text("abcXYZ019%/+=:!$*-_.~", max_size=20).map(lambda middle: f"q7{middle}7Q")

URIS = ("s3a://user:{}@bucket/songs.csv", "https://user:{}@host:8443/a?b=c", "'hdfs://u:{}@nn:8020/x'",
        "input.tracks=s3a://AKIA:{}@bucket, output.root=/data", 'tracks = "ftp://u:{}@host/x"')  # fmt: skip
NAMED = (
    "https://host/x?sig={}", "https://host/x?a=1&Signature={}&b=2", "https://host/x?X-Amz-Signature={}",
    "https://host/x?AWSAccessKeyId={}", "https://host/x#access_token={}", "https://host/x?sv={}&sr=b",
    "https://host/x?api_key={}", "https://host/x?apikey={}", "https://host/x?key={}", "https://h/x?X-Goog-Signature={}",
    "api_key={}", "apikey: {}", "pwd={}", "PASSWORD={}", "auth={}", "Authorization: Bearer {}", "credential={}",
    "sas={}", "sig={}", "token: {}", 'a.b.secret="{}"', "a.b.secret = '{}'", '{{"apiKey": "{}"}}',
    "{{'client_secret': '{}'}}", "fs.s3a.secret.key={}", "fs.s3a.session.token={}", "AWS_SECRET_ACCESS_KEY={}",
    "aws_session_token = {}", "fs.azure.account.key.name.dfs.core.windows.net={}", "AccountKey={}",
    "spark.hadoop.fs.s3a.access.key={}", "SharedAccessSignature={}", "db_password={}",
    "Invalid header value b'Bearer {}'",
)  # fmt: skip


@given(st.sampled_from(URIS), PASSWORDS)
def test_a_password_in_a_uri_is_never_shown(form: str, password: str) -> None:
    # Digits and a slash behind a colon are a port.
    shown = cleaned(form.format(password))
    assert password not in shown
    assert "q7" not in shown
    assert "7Q" not in shown
    assert "***" in shown


@given(st.sampled_from(NAMED), VALUES, st.booleans())
def test_the_value_of_a_secret_name_is_never_shown(form: str, value: str, upper: bool) -> None:
    shown = cleaned(form.upper().format(value) if upper and "{}" in form.upper() else form.format(value))
    assert "q7" not in shown
    assert "7Q" not in shown
    assert cleaned(shown) == shown


def test_what_was_cut_off_shows_no_half_of_a_password() -> None:
    assert cleaned("neighbors.k: found 's3a://user:q7abcdef") == "neighbors.k: found 's3a://***"
    long = "x" * 290 + " s3a://user:" + "q7" * 40 + "@bucket/x"
    assert "q7" not in errors.shorten(long)


@pytest.mark.parametrize("text", [
    "hdfs://namenode:8020/data/songs@2024.csv", "s3://bucket/x@y", "http://localhost:8080, write to a@b.org",
    "abfss://container@account.dfs.core.windows.net/songs", "az://container@account/songs",
    "key=5 mode=1, the key: 5", "author: Bob",
    "Kansas: Dust in the Wind", "did you mean 'model.n_epochs'?", "file:/data/my songs/a,b.csv", "[::1]:443",
    "columns: track_id <- Track URI, key <- Key", "a == b", "C:\\music\\songs.csv", "2 of 3 signatures",
    "50 % = half",
    "Музыка – Ёлка", "音楽：『曲』", "نوازش‌ها", "क्‍ष", "👩‍🎤 emoji", "שלום\u200f!", "e\u0301",
])  # fmt: skip
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert cleaned(text) == text


@given(st.text(st.characters(categories=("L", "N", "Zs", "Po", "Sm"), exclude_characters="=:"), max_size=80))
def test_text_without_names_of_secrets_stays_as_it_is(text: str) -> None:
    assert cleaned(text) == text


@given(st.text(max_size=60))
def test_no_terminal_obeys_what_is_left_and_a_second_cleaning_changes_nothing(text: str) -> None:
    shown = without_controls(text)
    for character in shown:
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
    assert without_controls(shown) == shown
    assert cleaned(cleaned(text)) == cleaned(text)
    assert "\n" not in one_line(text)
    # Nothing is lost.
    back = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found.group(1), 16)), shown)
    assert "\\u" in text or back == text


@pytest.mark.parametrize(
    "order", ["\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x9b31m", "\r\x08", "\u202e"]
)
@pytest.mark.parametrize("look", ["text", "json"])
def test_orders_to_a_terminal_are_shown_by_every_log(look: str, order: str) -> None:
    stream = io.StringIO()
    log = logging.getLogger("musicrec")
    with console.showing(look, level=logging.INFO, stream=stream):
        log.info("read %s", f"a{order}b?token=q7")
        log.warning("a column %s", order)
        log.error("%s", errors.InputError(f"no column {order}", where=order, todo="look"))
    shown = stream.getvalue()
    assert not set(shown) & set("\x1b\x07\x9b\r\x08\u202e")
    assert "q7" not in shown
    assert len(shown.splitlines()) == (3 if look == "json" else 5)
    if look == "json":
        assert f"a{order}b?token=***" in json.loads(shown.splitlines()[0])["text"]


def test_a_line_of_the_log_begins_no_other() -> None:
    stream = io.StringIO()
    with console.showing("text", level=logging.INFO, stream=stream):
        logging.getLogger("musicrec").info("read a\n12:00:00 warning: all is lost")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_wrong_command_line_is_an_error_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["refresh", "s3a://user:q7@bucket", "\x1b[2J"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.splitlines()[0].startswith("error: unrecognized arguments: s3a://***@bucket \\u001b[2J")
    assert len(said.splitlines()) == 2


def test_a_setting_that_is_wrong_is_repeated_without_its_secret(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--set", "input.tracks=https://host/x?Signature=q7", "--set", "neighbors.k=s3a://u:q7q7@b"]
    assert cli.main(["config", "--resolved", *wrong]) == 2
    said = capsys.readouterr().err
    assert "q7" not in said
    assert "***" in said


def test_the_resolved_configuration_is_toml_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--resolved", "--set", 'input.tracks="s3a://u:q7@b/\\u009b\\u202e"']) == 0
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x9b\u202e")
    assert tomllib.loads(shown)["input"]["tracks"] == "s3a://***@b/\x9b\u202e"


@given(st.recursive(st.text(max_size=8), lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3)))
def test_json_reads_back_and_holds_nothing_that_a_terminal_obeys(value: object) -> None:
    text = plain.as_json(value)
    assert json.loads(text) == value
    assert without_controls(text) == text
    assert text.encode()


def test_values_by_secret_names_are_masked_in_json() -> None:
    found = plain.without_secrets({"secret": "q7", "n": [{"api_key": "q7", "key": "Key"}], "token": 3})
    assert found == {"secret": "***", "n": [{"api_key": "***", "key": "Key"}], "token": 3}
    assert not is_secret("key")
    assert is_secret("fs.s3a.secret.key")


def test_a_long_text_is_cleaned_in_no_time() -> None:
    started = time.monotonic()
    for text in (
        "a_" * 50_000,
        "s3://a:" * 10_000,
        "token" * 20_000,
        "?" * 100_000,
        "secret " * 20_000,
        '"' * 50_000,
    ):
        masked(text[: errors.MAX_TEXT_LENGTH])
    assert time.monotonic() - started < 5
