"""What the documents say: each block of code runs, each link leads somewhere, each table is current.

The blocks of a document are one program: Python blocks as they are, bash blocks by bash, SQL by DuckDB, and a TOML
block that begins with the name of a file is that file. The tutorial's runs first; other documents ask what it
published. What cannot run in a test is named in `NOT_RUN`, with the reason, and its files and options are checked.
"""

import ast
import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from musicrec.catalog.audit import PROBLEMS, REASONS
from musicrec.config import load_config
from musicrec.context import Context, recorded
from musicrec.errors import InputError
from musicrec.songs import FEATURES
from musicrec.storage import runs
from tests.conftest import ROOT
from tests.processes import own_environment

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*GUIDES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
TUTORIAL = ROOT / "docs" / "tutorial.md"
MAX_README_LINES = 130

# Commands that begin so do not run outside of the tutorial, and why; what they name is checked.
NOT_RUN = {
    "bash scripts/": "sets up a machine or runs all tests; CI and other tests run these scripts",
    "source .venv/bin/activate": "there is no .venv where the tests run in another environment",
    "pip": "installs; tests of the package install the wheel",
    "spark-submit": "a cluster; tests/test_cluster.py submits to real executors",
    "musicrec refresh": "a minute each; the tutorial's runs",
    "musicrec neighbors": "half a minute each; the tutorial's runs",
    "musicrec evaluate": "minutes; tests of the evaluation run it",
    ".venv/bin/musicrec evaluate": "minutes; tests of the evaluation run it",
    ".venv/bin/python jobs/": "the same as the commands above",
    ".venv/bin/python scripts/": "benchmarks, which take hours; tests/test_benchmark.py runs them small",
    "python scripts/": "rewrites documents of the checkout",
}
NOT_RUN_IN_TUTORIAL = ("pip",)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language and its text."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block, a line each, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]

    @property
    def file(self) -> str | None:
        """The file that the block is, where its first line names one."""
        found = re.match(r"# ([\w.-]+\.(?:toml|sh))\n", self.text)
        return found.group(1) if found else None


def read_blocks(document: Path) -> list[Block]:
    blocks, language, start, lines = [], None, 0, []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if language is None and line.startswith("```"):
            language, start, lines = line[3:].strip(), number, []
        elif language is not None and line == "```":
            blocks.append(Block(document, start, language, "\n".join(lines) + "\n"))
            language = None
        else:
            lines.append(line)
    assert language is None, f"{document.name}: the block of line {start} does not end"
    return blocks


def is_run(block: Block) -> bool:
    """Whether a block is run as it is."""
    skipped = NOT_RUN_IN_TUTORIAL if block.document == TUTORIAL else tuple(NOT_RUN)
    return not any(command.startswith(skipped) for command in block.commands)


def as_program(blocks: list[Block]) -> str:
    """Return blocks as one Python program, in order."""
    parts = ["import pathlib, subprocess"]
    for block in blocks:
        parts.append(f"# {block.document.name}:{block.line}")
        if block.file:
            parts.append(f"pathlib.Path({block.file!r}).write_text({block.text!r})")
        elif block.language == "python":
            parts.append(block.text)
        elif block.language == "bash" and is_run(block):
            command = ["bash", "-euo", "pipefail", "-c", block.text]
            parts.append(f"subprocess.run({command!r}, check=True)")
        elif block.language == "sql":
            parts.append(f"import duckdb\nassert len(duckdb.sql({block.text!r}).fetchall()), 'no rows'")
    return "\n".join(parts)


def environment() -> dict[str, str]:
    """Return what a shell has in which musicrec is installed."""
    own = own_environment()
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    # A checkout that is not installed is found, too.
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [own.get("PYTHONPATH"), str(ROOT)]))
    return own


def run_blocks(document: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    program = directory / f"{document.stem}.py"
    program.write_text(as_program(read_blocks(document)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program.name], cwd=directory, env=environment(), capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{document.name}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done


@dataclass(frozen=True)
class Ran:
    """What the tutorial left, and what it printed."""

    directory: Path
    output: str

    def manifest(self) -> Any:
        published = self.directory / "output" / "published"
        snapshot = json.loads((published / "current.json").read_text())["snapshot"]
        return json.loads((published / snapshot / "manifest.json").read_text())

    def state(self) -> Any:
        work = self.directory / "output" / "work" / self.manifest()["run_id"]
        return json.loads((work / "state.json").read_text())

    def listed(self, song: str) -> list[dict[str, Any]]:
        """Return the rows that are published for a song."""
        published = self.directory / "output" / "published"
        snapshot = published / json.loads((published / "current.json").read_text())["snapshot"]
        rows = [
            row
            for file in sorted(snapshot.glob("recommendations/*.parquet"))
            for row in pq.read_table(file).to_pylist()
        ]
        return [row for row in rows if row["track_id"] == song]


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    directory = tmp_path_factory.mktemp("tutorial")
    return Ran(directory, run_blocks(TUTORIAL, directory).stdout)


def test_the_tutorial_runs_and_shows_what_it_says(tutorial: Ran) -> None:
    counts = tutorial.manifest()["counts"]
    assert counts["n_tracks"] == 300
    assert counts["quarantine_reasons"] == {"energy_out_of_range": 1, "tempo_not_a_number": 1}
    listed = tutorial.listed("song-007")
    assert [row["rank"] for row in listed] == list(range(1, 11))
    # DuckDB, pandas, pyarrow and Spark SQL print the whole list, the command its first five.
    for row in listed:
        n_tools = 4 + (row["rank"] <= 5)
        assert tutorial.output.count(row["recommended_track_id"]) >= n_tools, (row, tutorial.output)
    (said,) = [line for line in tutorial.output.splitlines() if line.startswith("[{'track_id': 'song-007'")]
    assert ast.literal_eval(said) == listed
    report = json.loads((tutorial.directory / "nearest" / "report.json").read_text())
    assert f"{report['n_vectors']} {report['recall_at_k']} {report['seconds']}" in tutorial.output


def has_code(document: Path) -> bool:
    return any(block.language in ("bash", "python", "sql") and is_run(block) for block in read_blocks(document))


OTHERS = [path for path in GUIDES if path != TUTORIAL and has_code(path)]


def fail_a_run(root: Path) -> Path:
    """Leave under `root` what a run leaves whose first stage fails; return its directory."""
    run = runs.start_run(runs.open_root(str(root)), run_date=date(2026, 11, 26))
    context, header = Context(None, load_config(), run), {"run_id": run.run_id, "run_date": "2026-11-26"}
    with contextlib.suppress(InputError), recorded(context, header=header), context.stage("clean"):
        raise InputError("the input has no rows")
    return Path(run.work.uri)


@pytest.mark.parametrize("document", OTHERS, ids=lambda path: path.stem)
def test_the_blocks_of_a_document_run(document: Path, tutorial: Ran) -> None:
    fail_a_run(tutorial.directory / "output")
    shown = run_blocks(document, tutorial.directory).stdout
    assert document.name != "operations.md" or "['clean'] InputError the input has no rows" in shown
    if document.name == "README.md":
        missing = [row for row in tutorial.listed("song-007") if row["recommended_track_id"] not in shown]
        assert missing == []


ALL_BLOCKS = [block for path in GUIDES for block in read_blocks(path)]


def name_of(block: Block) -> str:
    return f"{block.document.name}:{block.line}"


def test_each_block_says_what_it_is() -> None:
    known = ("bash", "python", "sql", "toml", "text")
    assert [name_of(block) for block in ALL_BLOCKS if block.language not in known] == []


@pytest.mark.parametrize("block", [b for b in ALL_BLOCKS if b.language == "toml"], ids=name_of)
def test_configuration_is_understood(block: Block, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(block.text)
    assert load_config(files=[str(tmp_path / "own.toml")]) != load_config()


NOT_RUN_BLOCKS = [block for block in ALL_BLOCKS if block.language == "bash" and (block.file or not is_run(block))]


@pytest.mark.parametrize("block", NOT_RUN_BLOCKS, ids=name_of)
def test_what_is_not_run_names_what_there_is(block: Block) -> None:
    subprocess.run(["bash", "-n", "-c", block.text], check=True)
    for command in block.commands:
        check_words(shlex.split(command, comments=True))


def check_words(words: list[str]) -> None:
    """Look at the files, options and keys that a command names."""
    match words:
        case ["bash", script, *_] if script.startswith("scripts/"):
            subprocess.run(["bash", "-n", ROOT / script], check=True)
        case ["spark-submit", *rest]:
            job = next(word for word in rest if word.startswith("jobs/"))
            before, after = rest[: rest.index(job)], rest[rest.index(job) + 1 :]
            assert (ROOT / before[before.index("--properties-file") + 1]).is_file()
            assert before[before.index("--py-files") + 1] in (ROOT / "scripts/package.sh").read_text()
            assert (ROOT / job).is_file()
            check_options(after, help_of(("musicrec", Path(job).stem)))
        case ["musicrec" | ".venv/bin/musicrec", command, *rest]:
            check_options(rest, help_of(("musicrec", command)))
        case ["python" | ".venv/bin/python", script, *rest]:
            commands = [word for word in rest[:1] if word.isalpha()]
            check_options(rest, help_of((sys.executable, str(ROOT / script), *commands)))


def check_options(words: list[str], text: str) -> None:
    unknown = [word for word in words if word.startswith("-") and not re.search(rf"{re.escape(word)}\b", text)]
    assert unknown == []
    given = list(itertools.pairwise(words))
    # One that the tutorial writes is looked at there.
    files = [str(ROOT / value) for option, value in given if option == "--config" and value != "musicrec.toml"]
    load_config(files=files, overrides=[value for option, value in given if option == "--set"])


@cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, check=False, env=environment(), timeout=100
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


def test_the_readme_fits() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def anchors_of(document: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def test_the_tables_are_current() -> None:
    from document_tables import TARGET, render

    assert TARGET.read_text(encoding="utf-8") == render(), "run scripts/document_tables.py"


def test_each_key_that_a_run_writes_is_described(tutorial: Ran) -> None:
    import described_keys as keys

    directory = tutorial.directory
    written = {
        "manifest": (tutorial.manifest(), keys.manifest_keys()),
        "pointer": (json.loads((directory / "output/published/current.json").read_text()), keys.POINTER),
        "history": (json.loads((directory / "output/published/history/00000001.json").read_text()), keys.POINTER),
        "state": (tutorial.state(), keys.state_keys()),
        "report": (json.loads((directory / "nearest/report.json").read_text()), keys.REPORT),
    }
    for name, (document, described) in written.items():
        assert keys.undescribed(document, described) == [], name
        assert keys.unfound(document, described) == [], name


def test_each_key_that_a_failed_run_leaves_is_described(tmp_path: Path) -> None:
    import described_keys as keys

    left = json.loads((fail_a_run(tmp_path) / "state.json").read_text())
    assert keys.undescribed(left, keys.state_keys()) == []
    assert left["stages"][0]["failed"] is True


def test_a_key_that_is_not_described_is_found() -> None:
    import described_keys as keys

    assert keys.undescribed({"a": {"b": 1}, "run_id": "x"}, keys.POINTER) == ["a/b"]
    assert "snapshot" in keys.unfound({"run_id": "x"}, keys.POINTER)


def test_each_reason_of_the_cleaning_is_described() -> None:
    from document_tables import FEATURE_REASONS, ROW_REASONS

    assert set(PROBLEMS) == set(FEATURE_REASONS)
    of_features = {f"{name}_{problem}" for name in FEATURES for problem in PROBLEMS}
    assert set(REASONS) - of_features == {"", *ROW_REASONS}


def test_each_reason_of_the_lists_is_described() -> None:
    from document_tables import STATUS, WITHOUT_LIST

    source = "".join(
        (ROOT / "musicrec/lists" / name).read_text("utf-8") for name in ("check.py", "check_tasks.py", "short.py")
    )
    texts = set(re.findall(r'"([\w ]+)"', source))
    assert " leaves {left}" in source
    assert {*STATUS, *WITHOUT_LIST} - {"<rule> leaves <n>"} <= texts
    assert {text for text in texts if text.startswith("no_")} == {text for text in WITHOUT_LIST if "no_" in text}
