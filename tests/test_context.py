"""What a run says of its stages, and what it leaves behind when one fails."""

import json
import logging
from datetime import date
from pathlib import Path

import pytest

from musicrec.config import Config
from musicrec.context import DOING, Context, recorded
from musicrec.errors import InputError
from musicrec.refresh import STAGES
from musicrec.storage import runs
from musicrec.storage.runs import read_state
from musicrec.vectors.join import STAGES as VECTOR_STAGES


@pytest.fixture
def context(tmp_path: Path) -> Context:
    run = runs.start_run(runs.open_root(str(tmp_path)), run_date=date(2026, 1, 2))
    before = {"join": {"seconds": 8.0, "n_rows": 400}, "clean": {"seconds": 3.0}}
    return Context(None, Config(), run, plan=("clean", "join"), before=before)


def test_a_stage_tells_when_it_begins_and_ends(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="musicrec")
    with context.stage("join", n_rows=100):
        assert [record.event for record in caplog.records] == ["begin"]
    begin, end = caplog.records
    assert (begin.number, begin.total, begin.doing, begin.n_rows) == (2, 2, "finding neighbors", 100)
    # As long as before, for as many songs.
    assert begin.estimate_s == 2.0
    assert end.event == "end"
    assert end.seconds >= 0
    (stage,) = context.stages
    assert stage == {"stage": "join", "started_at": stage["started_at"], "seconds": end.seconds, "n_rows": 100}


def test_a_stage_of_unknown_size_takes_what_it_took(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="musicrec")
    with context.stage("clean"), context.stage("sort"):
        pass
    estimates = {record.stage: record.estimate_s for record in caplog.records}
    # Nothing is known of what did not run before.
    assert estimates == {"clean": 3.0, "sort": None}


@pytest.mark.parametrize("error", [ValueError("no luck"), KeyboardInterrupt(), InputError("no rows")])
def test_a_stage_that_fails_is_in_the_record(
    context: Context, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    caplog.set_level(logging.INFO, logger="musicrec")
    header = {"run_id": context.run.run_id, "config": {"tracks": "s3a://key:secret@bucket/x"}}

    def run() -> None:
        with recorded(context, header=header):
            with context.stage("clean"):
                pass
            with context.stage("join"):
                raise error

    with pytest.raises(type(error)):
        run()
    assert [record.event for record in caplog.records] == ["begin", "end", "begin", "failed"]
    failed = read_state(context.run.root, context.run.run_id)
    assert failed["run_id"] == context.run.run_id
    assert [(stage["stage"], stage.get("failed", False)) for stage in failed["stages"]] == [
        ("clean", False),
        ("join", True),
    ]
    assert failed["stages"][1]["seconds"] >= 0
    assert failed["kind"] == type(error).__name__
    assert failed["state"] == ("refused" if isinstance(error, InputError) else "failed")
    assert "secret" not in json.dumps(failed)


def test_a_record_that_cannot_be_written_hides_no_failure(context: Context) -> None:
    with pytest.raises(ValueError, match="first"), recorded(context, header={"broken": float("nan")}):
        raise ValueError("the first failure")
    assert read_state(context.run.root, context.run.run_id)["state"] == "running"


def test_a_run_that_ends_well_leaves_no_record_of_a_failure(context: Context) -> None:
    with recorded(context, header={}):
        pass
    assert read_state(context.run.root, context.run.run_id)["state"] == "running"


def test_each_stage_says_what_it_does() -> None:
    assert set(STAGES) | set(VECTOR_STAGES) == set(DOING)
