"""Sections of a document: what is written there, what stays, and where it says that figures come from."""

import re
import sys
from pathlib import Path

import pytest

from musicrec import __version__
from musicrec.errors import ConfigError
from musicrec.storage import origin
from musicrec.storage.sections import open_section, replace_section

BEFORE = "# Títle\r\n\nprose | with ` marks -->\n<!-- begin: other -->\n| 1 |\n<!-- end: other -->\n\t\n"
AFTER = (
    "\n\n\nmore <!-- begin: nightly --> in a sentence\n<!-- begin: third -->\n<!-- end: third -->\nno end of line"
)


def document(*lines: str) -> str:
    return BEFORE + "\n".join(lines) + AFTER


@pytest.mark.parametrize("old", [[], ["one line"], ["", "| a |", "", "- date: 1999", ""]])
@pytest.mark.parametrize("new", ["| b |", "| b |\n\n- date: 2001", r"\1 \g<0>"])
def test_a_section_is_replaced_and_nothing_else(old: list[str], new: str) -> None:
    before = document("<!-- begin: nightly -->", *old, "<!-- end: nightly -->")
    after = replace_section(before, "nightly", new, where="f")
    assert after == document("<!-- begin: nightly -->", new, "<!-- end: nightly -->")
    assert replace_section(after, "nightly", new, where="f") == after


def test_lines_end_as_those_of_the_section() -> None:
    text = "a\n<!-- begin: x -->\r\nold\r\n<!-- end: x -->\r\nb\n"
    written = replace_section(text, "x", "1\n2", where="f")
    assert written == "a\n<!-- begin: x -->\r\n1\r\n2\r\n<!-- end: x -->\r\nb\n"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["<!-- begin: nightly -->"],
        ["<!-- end: nightly -->"],
        ["<!-- end: nightly -->", "<!-- begin: nightly -->"],
        ["<!-- begin: nightly -->", "<!-- begin: x -->", "<!-- end: x -->", "<!-- end: nightly -->"],
        ["<!-- begin: nightly -->", "<!-- end: nightly -->", "<!-- begin: nightly -->", "<!-- end: nightly -->"],
        ["<!-- begin: nightly -->", "<!-- end: Nightly -->"],
        ["  <!-- begin: nightly -->", "<!-- end: nightly -->"],
        ["<!-- begin: nightly-2 -->", "<!-- end: nightly-2 -->"],
    ],
)
def test_a_section_that_is_not_there_is_refused(tmp_path: Path, lines: list[str]) -> None:
    path, text = tmp_path / "figures.md", document(*lines)
    path.write_bytes(text.encode())
    with pytest.raises(ConfigError, match="there is no section 'nightly'") as caught:
        open_section(path, "nightly", argv=["musicrec"])
    assert caught.value.exit_code == 2
    assert "other" in caught.value.where
    assert path.read_bytes() == text.encode()


def test_a_document_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the document"):
        open_section(tmp_path / "none.md", "nightly", argv=["musicrec"])


def test_what_others_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "figures.md"
    path.write_text("<!-- begin: a -->\n<!-- end: a -->\n<!-- begin: b -->\n<!-- end: b -->\n")
    first, second = (open_section(path, name, argv=["musicrec"]) for name in "ab")
    second.write("| of b |")
    first.write("| of a |\n")
    assert re.findall(r"^\| of . \|$|^<!.*$", path.read_text(), re.M) == [
        "<!-- begin: a -->", "| of a |", "<!-- end: a -->", "<!-- begin: b -->", "| of b |", "<!-- end: b -->",
    ]  # fmt: skip
    assert [each.name for each in tmp_path.iterdir()] == ["figures.md"]


def test_a_section_says_where_its_figures_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = (
        "processor\t: 0\nmodel name\t: A Processor 7\nflags\t\t: sse avx2\n\nprocessor\t: 1\nmodel name\t: B\n"
    )
    monkeypatch.setattr(origin, "_cpuinfo", lambda: cpuinfo)
    monkeypatch.setattr(sys, "argv", [str(origin.ROOT / "scripts/benchmark.py"), "refresh", "--songs", "7"])
    path = tmp_path / "figures.md"
    path.write_text("<!-- begin: a -->\nold\n<!-- end: a -->\n")
    open_section(path, "a", packages=["numpy", "pyspark", "no-such-package"]).write("| 1 |")
    lines = path.read_text().splitlines()
    assert lines[:4] == [
        "<!-- begin: a -->",
        "| 1 |",
        "",
        "- command: `python scripts/benchmark.py refresh --songs 7`",
    ]
    assert re.fullmatch(r"- machine: A Processor 7, AVX2, no AVX-512, \d+ cores, \d+ GB of memory, \w+", lines[4])
    assert re.match(r"- date: 20\d\d-\d\d-\d\d \d\d:\d\d UTC(; commit: [0-9a-f]{7,}( \+ changes)?)?$", lines[5])
    assert lines[6].startswith(f"- versions: musicrec {__version__}, Python 3.")
    assert [part.split()[0] for part in lines[6].split(", ")[2:]] == ["pyspark", "torch", "numpy"]
    assert lines[7:] == ["<!-- end: a -->"]


def test_a_machine_whose_flags_are_not_known() -> None:
    assert origin.read_processor("") == ("", set())
    assert origin.read_processor("BogoMIPS : 2\n") == ("", set())


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/checkout/scripts/scaling.py", "--sizes", "1", "2"], "python scripts/scaling.py --sizes 1 2"),
        (["/elsewhere/bin/musicrec", "evaluate"], "musicrec evaluate"),
        (["/elsewhere/musicrec/__main__.py", "evaluate"], "musicrec evaluate"),
        (["/elsewhere/evaluate.py"], "python evaluate.py"),
        (["musicrec", "--peers", ""], "musicrec --peers ''"),
        (["musicrec", "--vectors", "/home/me/x/song-like"], "musicrec --vectors DIR/song-like"),
        (["musicrec", "--set", "input.tracks=/data/songs.csv"], "musicrec --set input.tracks=DIR/songs.csv"),
        (["musicrec", "--write", "/checkout/docs/quality.md"], "musicrec --write docs/quality.md"),
        (["musicrec", "--write", "docs/quality.md"], "musicrec --write docs/quality.md"),
        (["musicrec", "s3a://me:secret@bucket/songs/*.csv"], "musicrec 's3a://***@bucket/songs/*.csv'"),
    ],
)
def test_a_command_says_nothing_of_the_machine(argv: list[str], command: str) -> None:
    assert origin.as_command(argv, root="/checkout") == command


def test_code_that_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "ROOT", tmp_path)
    assert not any("commit" in line for line in origin.find_origin(["musicrec"]).lines())
