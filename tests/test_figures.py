"""What scripts write into documents: the night by stage, the join beside its peers, how it grows. No Spark."""

import importlib
import json
import math
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.history import read_versions
from musicrec.storage.local_store import LocalStore
from musicrec.storage.runs import open_root
from musicrec.storage.sections import open_section
from musicrec.storage.stores import open_store
from tests.conftest import ROOT
from tests.test_benchmark import JOB

benchmark, comparison, counted_refresh, event_log, flame_graph = map(
    importlib.import_module, ("benchmark", "comparison", "counted_refresh", "event_log", "flame_graph")
)
growth, nightly, scaling, vector_sets, watching = map(
    importlib.import_module, ("growth", "nightly", "scaling", "vector_sets", "watching")
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A document with all sections, each empty."""
    names = ("nightly", "stores", "join-20000", "scaling", "hard-sets", "growth")
    text = "".join(f"## {name}\n\n<!-- begin: {name} -->\n<!-- end: {name} -->\n\n" for name in names)
    (tmp_path / "page.md").write_text(text)
    return tmp_path / "page.md"


def section(page: Path, name: str) -> list[str]:
    found = re.search(rf"<!-- begin: {name} -->\n(.*?)<!-- end: {name} -->", page.read_text(), re.S)
    assert found
    return found[1].splitlines()


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", [str(benchmark.__file__), *words])
    code: int = script.main()
    return code


MAKE_NOTHING = "import pathlib, sys; pathlib.Path(sys.argv[-1]).mkdir()"

NIGHT = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
started = datetime.now(UTC)
while (datetime.now(UTC) - started).total_seconds() < 1.5:
    sum(range(10_000))
root = Path(next(word for word in sys.argv if word.startswith("output.root=")).split("=")[1])
root.mkdir()
stages = [
    {"stage": "clean", "seconds": 1.5, "started_at": started.isoformat()},
    {"stage": "tune", "seconds": 0.25, "started_at": started.isoformat(), "failed": True},
]
found = dict(hash_family="exact", recall_at_k=1.0, recall_lower_95=0.9, copies_per_item=1, pairs_per_item=2.5, k=3)
(root / "manifest.json").write_text(json.dumps({"stages": stages, "neighbors": found}))
log = Path(next(word for word in os.environ["PYSPARK_SUBMIT_ARGS"].split() if "eventLog.dir=" in word)[26:])
at = 1000 * started.timestamp()
job = {"Event": "SparkListenerJobStart", "Submission Time": at + 100}
task = {"Event": "SparkListenerTaskEnd", "Task Info": {"Finish Time": at + 1400},
        "Task Metrics": {"Shuffle Write Metrics": {"Shuffle Bytes Written": 3 * 2**20}}}
lost = {"Event": "SparkListenerTaskEnd", "Task Info": {"Finish Time": at + 1400}}
(log / "appstatus").touch()
(log / "events_1").write_text("\\n".join(map(json.dumps, [job, task, lost, {"Event": "SparkListenerLogStart"}])))
print("noise\\n" + str(root))
"""


def test_a_night_is_written_by_stage(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory, name, text in (("jobs", "refresh.py", NIGHT), ("scripts", "make_catalog.py", MAKE_NOTHING)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / name).write_text(text)
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    before = page.read_text()
    assert run(benchmark, monkeypatch, "refresh", "--songs", "300", "--repeats", "2", "--write", str(page)) == 0
    lines = section(page, "nightly")
    assert re.fullmatch(r"300 songs, \d+ cores, a driver of 8g, median of 2 run\(s\)", lines[0])
    assert re.fullmatch(r"\| clean \| 1\.5 \| 200 \| \d+\.\d \| 1 \| 3 \| \d+\.\d \|", lines[4])
    assert re.fullmatch(r"\| tune \(failed\) \| 0\.2 \| 1,200 \| \d+\.\d \| 1 \| 0 \| \d+\.\d \|", lines[5])
    assert re.fullmatch(r"\| altogether \| .* \| 1 \| 3 \| \d+\.\d \|", lines[6])
    assert len({line.count("|") for line in lines[2:7]}) == 1
    assert "| pairs_per_item | 2.5 |" in lines
    command = "python scripts/benchmark.py refresh --songs 300 --repeats 2 --write DIR/page.md"
    assert f"- command: `{command}`" in lines
    assert "\n".join(lines[:7]) in capsys.readouterr().out
    assert page.read_text().replace("\n".join(lines) + "\n", "") == before


COUNTED_NIGHT = """
import sys
import pyarrow as pa
from datetime import UTC, datetime
from musicrec.storage import history
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS
from musicrec.storage.lease import locked
from musicrec.storage.publish import publish
from musicrec.storage.runs import open_root, start_run
from tests.roots import DAY, write_tables
root = open_root(next(word for word in sys.argv if word.startswith("output.root=")).split("=")[1])
lists = pa.table({"track_id": ["a"], "rank": [1], "recommended_track_id": ["b"], "score": [0.5]})
status = pa.table({"track_id": ["a"], "status": ["recommended"], "reason": [""], "n_recommendations": [1]})
with locked(root):
    base = history.settle(root)
    run = start_run(root, run_date=DAY)
    tables = write_tables(run, {RECOMMENDATIONS: [lists], STATUS: [status]})
    manifest = {"run_id": run.run_id, "stages": [], "neighbors": {}}
    print(publish(run, manifest=manifest, report="", tables=tables, base=base))
    run.note("published")
print(f"the driver read {2**20} published bytes, and {2**19} others", file=sys.stderr)
"""


def test_places_are_compared(tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    for name, text in (("counted_refresh.py", COUNTED_NIGHT), ("make_catalog.py", MAKE_NOTHING)):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        (tmp_path / "scripts" / name).write_text(text)
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    places = f"{tmp_path / 'out'},{bucket}"
    words = ("stores", "--songs", "300", "--places", places, "--versions", "5", "--write", str(page))
    assert run(benchmark, monkeypatch, *words) == 0
    lines = section(page, "stores")
    assert lines[0] == "300 songs, median of 2 night(s) in each place, in turn"
    (of_directory,) = (line for line in lines if re.match(r"\| directory \| \d+\.\d \| 1\.00 \|", line))
    assert of_directory.endswith("| - |")
    assert sum(line.startswith("| s3 |") for line in lines) == 1
    for command in ("status", "history", "rollback", "gc --dry-run", "similar"):
        (row,) = (line for line in lines if line.startswith(f"| {command} |"))
        assert all(0 < float(cell) < 60 for cell in row.split("|")[2:4])
    # The history is as long as was asked, before the commands that were timed.
    for uri in places.split(","):
        assert next(read_versions(open_root(uri))).number == 5 + 3


def test_what_the_driver_reads_is_counted(tmp_path: Path) -> None:
    n_read: Counter[str] = Counter()
    store = open_store(str(tmp_path))
    for name in ("published/x", "work/y"):
        store.put(name, b"12345")
    get = counted_refresh.counted(LocalStore.get_tagged, n_read)
    get(store, "published/x")
    get(store.below("work"), "y")
    ranges = counted_refresh.counted(LocalStore.get_ranges, n_read)
    ranges(store.below("published"), "x", [(0, 2), (3, 4)])
    assert n_read == {"published": 8, "other": 5}


def test_a_stage_is_watched_from_its_start_to_its_end() -> None:
    watch = watching.ProcessWatch.__new__(watching.ProcessWatch)
    gib = watching.GIB
    watch.samples = [(100.0, 0, 0.0), (101.0, gib, 2.0), (102.0, 3 * gib, 3.0), (104.0, 2 * gib, 4.0)]
    job = watching.Finished(0, cut_off=False, out="", err="", started=100.0, ended=104.0, watch=watch)
    stages = [
        {"stage": "clean", "seconds": 1.5, "started_at": "1970-01-01T00:01:40+00:00"},
        {"stage": "train", "seconds": 2.0, "started_at": "1970-01-01T02:01:42+02:00"},
    ]
    events = event_log.EventLog(jobs=(100.5, 101.0, 103.0, 109.0), shuffles=((101.4, 5), (101.6, 7)))
    figures = [
        (each.stage, each.cpu_s, each.peak / gib, each.n_jobs, each.shuffled)
        for each in nightly.stage_figures(stages, job, events)
    ]
    assert figures == [("clean", 2.5, 1.0, 2, 5), ("train", 1.0, 3.0, 1, 0), ("altogether", 4.0, 3.0, 3, 12)]


def test_what_no_profiler_is_there_for_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flame_graph.shutil, "which", lambda *_, **__: None)
    with pytest.raises(StorageError, match="py-spy is not installed"):
        flame_graph.profiled(["true"], Path("picture.svg"))


def test_the_join_is_written_beside_its_peers(tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/neighbors.py").write_text(JOB)
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    vectors = vector_sets.make_data("duplicates", tmp_path / "song-like", n_songs=200, memory="1g")
    words = ["neighbors", "--vectors", str(vectors), "--recalls", "0.95", "--peers", "", "--write", str(page)]
    output = ["--output", str(tmp_path / "figures.json")]
    assert run(benchmark, monkeypatch, *words, "--section", "join-20000", *output) == 0
    lines = section(page, "join-20000")
    assert lines[0] == "song-like: 200 vectors of 64 floats, 2 threads, 200 queries judged, median of 1 run(s)"
    assert lines[4].startswith("| musicrec | target_recall=0.95 | 0.95 | 1.0000 (1.0000) | 1.5 |")
    raw = json.loads((tmp_path / "figures.json").read_text())
    assert (raw["k"], raw["sets"][0]["n"]) == (10, 200)
    assert f"- machine: {raw['machine']}" in lines


def test_a_section_is_looked_for_before_the_work(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("measured what nobody could keep")

    monkeypatch.setattr(benchmark, "load_task", never)
    monkeypatch.setattr(scaling, "measure", never)
    there = ["--vectors", str(tmp_path), "--write", str(page)]
    assert run(benchmark, monkeypatch, "neighbors", *there, "--section", "join-7") == 2
    assert "there is no section 'join-7'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run(benchmark, monkeypatch, "neighbors", *there)
    assert caught.value.code == 2
    assert run(scaling, monkeypatch, *there, "--sizes", "1000000", "99999") == 2
    assert "1,000,000, 99,999" in capsys.readouterr().err


def report(n: int, *, seconds: float, join: float, pairs: float) -> dict[str, Any]:
    return {
        "n_vectors": n, "dim": 64, "half_precision": True, "seconds": seconds, "recall_at_k": 0.98,
        "recall_lower_95": 0.97, "pairs_per_item": pairs, "max_over_mean_task": 1.5, "shuffle_bytes": 152 * n,
        "peak": 2**31, "stages": [{"stage": "read", "seconds": 1.0}, {"stage": "join", "seconds": join}],
    }  # fmt: skip


# From a million vectors to ten, pairs double.
REPORTS = {
    100_000: report(100_000, seconds=90.0, join=80.0, pairs=7.0),
    1_000_000: report(1_000_000, seconds=60.0, join=10.0, pairs=1000.0),
    10_000_000: report(10_000_000, seconds=500.0, join=200.0, pairs=2000.0),
}


def test_growth_is_computed_from_what_was_measured() -> None:
    rows = [growth.as_measured(each, n_threads=2) for each in REPORTS.values()]
    model = growth.fit_costs(rows)
    # 2 x 300 s over 10 million vectors, and 2 x 200 s over 10 million x 2,000 pairs; 100,000 are too few to count.
    assert model.vector_s == pytest.approx(60e-6)
    assert model.pair_s == pytest.approx(20e-9)
    assert 10**model.exponent == pytest.approx(2)
    # Ten times the vectors, in cells of 400 in place of 125; a hundred times, in cells of 4,000.
    hundred, billion = 2000 * 2 * math.sqrt(400 / 125), 2000 * 4 * math.sqrt(4000 / 125)
    assert model.pairs(100_000_000) == pytest.approx(hundred)
    assert model.pairs(1_000_000_000) == pytest.approx(billion)
    assert model.core_seconds(1_000_000_000, billion) == pytest.approx(1e9 * (60e-6 + billion * 20e-9))


def test_growth_as_a_table() -> None:
    lines = growth.growth_lines([growth.as_measured(each, n_threads=2) for each in REPORTS.values()])
    assert "vectors x (60.0 us + pairs x 20.00 ns), from 10,000,000 vectors of 64 numbers" in lines[0]
    # A million: 1e6 x (60 us + 1,000 x 20 ns) = 80 core-seconds where 2 x 60 were taken.
    assert "from 1,000,000 up are met within 33 %" in lines[0]
    assert lines[4:] == [
        # 2 x 500 s are 0.28 h; 24 vectors of 256 bytes for each leader.
        "| 10,000,000 | 80,000 | 125 | 2,000 | 0.28 |  | 1.4 | 1.3 | 0.5 |",
        # 1e8 x (60 us + 7,155 x 20 ns) = 20,311 s = 5.6 h.
        "| 100,000,000 | 250,000 | 400 | ~7,200 | ~5.6 | ~0.056 | 14.2 | 13.4 | 1.4 |",
        # 1e9 x (60 us + 45,255 x 20 ns) = 965,097 s = 268 h.
        "| 1,000,000,000 | 250,000 | 4,000 | ~45,000 | ~270 | ~2.7 | 141.6 | 134.1 | 1.4 |",
    ]


@pytest.mark.parametrize("sizes", [[], [1_000_000], [1_000_000, 99_999], [50_000, 20_000], [50_000, 60_000]])
def test_sizes_that_tell_nothing_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ConfigError, match="cannot be computed from"):
        growth.check_sizes(sizes)


def test_each_size_is_written_and_growth_below(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "measure", lambda _, *, n, arguments: REPORTS[n])
    words = ["--vectors", str(tmp_path / "song-like"), "--write", str(page), "--sizes"]
    assert run(scaling, monkeypatch, *words, *map(str, REPORTS)) == 0
    table = section(page, "scaling")
    assert [line.split("|")[2].strip() for line in table[2:5]] == ["100,000", "1,000,000", "10,000,000"]
    assert table[4] == ("| song-like | 10,000,000 | 500.0 | 200.0 | 0.9800 (0.9700) | 2,000 | 1.50 | 1.42 | 2.0 |")
    assert len({line.count("|") for line in table[:5]}) == 1
    assert "| 1,000,000,000 | 250,000 |" in "\n".join(section(page, "growth"))
    assert not section(page, "hard-sets")


def test_hard_sets_are_written_where_they_belong(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "measure", lambda _, *, n, arguments: report(n, seconds=1, join=1, pairs=3))
    assert run(scaling, monkeypatch, "--data", "noise", "identical", "--write", str(page), "--sizes", "50") == 0
    assert [line.split("|")[1].strip() for line in section(page, "hard-sets")[2:4]] == ["noise", "identical"]
    assert not section(page, "scaling")


def documented(name: str) -> tuple[Path, list[list[str]]]:
    """Return a document and the command lines of its code blocks."""
    path = ROOT / "docs" / name
    blocks = re.findall(r"^```bash\n(.*?)^```", path.read_text(), re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return path, [shlex.split(line, comments=True) for line in lines]


def test_each_section_of_the_document_has_its_command() -> None:
    path, commands = documented("performance.md")
    written = []
    for _, script, *words in commands:
        if script == "scripts/benchmark.py":
            arguments = benchmark.parse(words)
            names = [arguments.section]
        elif script == "scripts/scaling.py":
            arguments = scaling.parse(words)
            names = scaling.section_names(arguments)
        else:
            continue
        assert arguments.write == "docs/performance.md"
        written += [open_section(path, name).name for name in names]
    assert sorted(written) == sorted(re.findall("^<!-- begin: (.*) -->$", path.read_text(), re.M))


@pytest.mark.parametrize("name", ["performance.md", "quality.md"])
def test_each_section_of_a_document_says_where_its_figures_come_from(name: str) -> None:
    found = re.findall(r"<!-- begin: (.*) -->\n(.*?)<!-- end: \1 -->", (ROOT / "docs" / name).read_text(), re.S)
    assert found
    for _, text in found:
        assert all(re.search(f"^- {key}: .", text, re.M) for key in ("command", "machine", "date"))
