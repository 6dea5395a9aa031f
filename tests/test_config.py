import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from musicrec.config import Config, base_text, config_as_dict, describe_config, load_config, resolved_toml
from musicrec.config_renames import GONE_IN, REMOVED, RENAMED
from musicrec.errors import ConfigError

ROOT = Path(__file__).parents[1]


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, each in model.model_fields.items():
        if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
            yield from keys_of(each.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", each


FIELDS = dict(keys_of(Config))


def comments_of(text: str) -> dict[str, str]:
    """Return the comment of each key and table; a line that is only a comment continues the one above it."""
    comments: dict[str, str] = {}
    table = name = ""
    for line in text.splitlines():
        if header := re.fullmatch(r"\[([\w.]+)\](?:\s+# (.*))?", line):
            table = name = header[1]
            comments[name] = header[2] or ""
        elif key := re.fullmatch(r"(\w+) = [^#]*?(?:\s+# (.*))?", line):
            name = f"{table}.{key[1]}"
            comments[name] = key[2] or ""
        elif name and (more := re.fullmatch(r"\s+# (.*)", line)):
            comments[name] += " " + more[1]
    return comments


def number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def bounds(metadata: list[Any]) -> str:
    limits = {
        name: getattr(one, name) for one in metadata for name in ("ge", "gt", "le", "lt") if hasattr(one, name)
    }
    if set(limits) == {"ge", "le"}:
        return f"{number(limits['ge'])}..{number(limits['le'])}"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(f"{signs[name]} {number(value)}" for name, value in limits.items())


def range_of(field: FieldInfo) -> str:
    """Return what the model enforces, in the notation of conf/base.toml; empty where any text will do."""
    if field.annotation is bool:
        return "true | false"
    if get_origin(field.annotation) is tuple:
        kind = get_args(field.annotation)[0]
        if get_origin(kind) is Literal:
            return f"each {' | '.join(get_args(kind))}"
        inner = getattr(kind, "__metadata__", ())
        return "".join(f"each {bounds(one.metadata)}" for one in inner)
    if get_origin(field.annotation) is not None and get_origin(field.annotation) is not dict:
        return " | ".join(get_args(field.annotation))
    if any(getattr(one, "pattern", None) for one in field.metadata):
        return field.description or "a description is missing"
    return bounds(field.metadata)


def test_base_toml_holds_every_key_with_its_default() -> None:
    base = tomllib.loads((ROOT / "conf/base.toml").read_text())
    assert load_config(files=[ROOT / "conf/base.toml"]) == Config()
    # As JSON has it: a tuple is a list.
    assert base == config_as_dict(Config())


def test_base_toml_lies_in_the_package() -> None:
    assert base_text() == describe_config() == (ROOT / "conf/base.toml").read_text()


@pytest.mark.parametrize("key", FIELDS)
def test_base_toml_states_the_range_that_the_model_enforces(key: str) -> None:
    comment, expected = comments_of(base_text())[key], range_of(FIELDS[key])
    assert len(comment) > 5
    assert re.findall(r"(?<!\w)\[([^\]\"]+)\]", comment) == ([expected] if expected else [])


def test_the_range_is_derived_from_the_model() -> None:
    """The derivation itself, on keys of each kind, against values written by hand."""
    expected = {
        "neighbors.k": "1..1000",
        "output.keep_snapshots": ">= 1",
        "model.expert.validation_share": "> 0, <= 0.5",
        "model.expert.gate_share": ">= 0, < 0.5",
        "model.hidden_layers": "each 1..65536",
        "lists.exclude_flags": "each live | karaoke | holiday | remix",
        "input.max_quarantine_share": "0..1",
        "neighbors.hash_family": "voronoi | hyperplane | exact",
        "input.tracks": "",
        "input.columns": "",
    }
    assert {key: range_of(FIELDS[key]) for key in expected} == expected


def test_base_toml_is_readable() -> None:
    assert max(map(len, base_text().splitlines())) <= 160


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[neighbors]\nk = 5\n[neighbors.expert]\ncell_size = 64\n")
    (tmp_path / "b.toml").write_text("\ufeff[neighbors]\nk = 7\n", encoding="utf-8")
    config = load_config(
        files=[tmp_path / "a.toml", str(tmp_path / "b.toml")], overrides=["neighbors.expert.tau=0.5"]
    )
    expert = config.neighbors.expert
    assert (config.neighbors.k, expert.cell_size, expert.tau) == (7, 64, 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("input.tracks=a b", "a b"), ("input.tracks='x=y'", "x=y"), ("input.tracks=s3a://b/k", "s3a://b/k")],
)
def test_override_of_text_needs_no_quotes(text: str, expected: str) -> None:
    assert load_config(overrides=[text]).input.tracks == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("neighbors.kk=3", "did you mean 'neighbors.k'"),
        ("neighbor.k=3", "did you mean 'neighbors'"),
        ("neighbors.taus=3", "did you mean 'neighbors.expert.tau'"),
        ("neighbors.leafsize=3", "did you mean 'neighbors.expert.cell_size'"),
        ("neighbors.cell_size=3", "did you mean 'neighbors.expert.cell_size'"),
        ("neighbors.expert.tua=3", "did you mean 'neighbors.expert.tau'"),
        ("neighbors.expert.k=3", "did you mean 'neighbors.k'"),
        ("neighbors.experts.tau=3", "did you mean 'neighbors.expert'"),
        ("neighbors.k=0", "neighbors.k"),
        ("neighbors.expert=3", "neighbors.expert"),
        ("model.expert.dropout=1.5", "model.expert.dropout"),
        ("neighbors.hash_family=faiss", "hash_family"),
        ("neighbors.k", "SECTION.KEY=VALUE"),
        ("k=3", "SECTION.KEY=VALUE"),
    ],
)
def test_wrong_keys_and_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r".*") as refused:
        load_config(overrides=[override])
    assert message in str(refused.value)
    assert refused.value.exit_code == 2
    assert len(str(refused.value).splitlines()) <= 5


def test_all_findings_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(overrides=["neighbors.k=0", "model.expert.patience=0"])
    assert "neighbors.k" in str(refused.value)
    assert "model.expert.patience" in str(refused.value)


def test_broken_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[neighbors\nk = 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(files=[tmp_path / "bad.toml"])
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(files=[tmp_path / "none.toml"])


def value_of(config: Config, key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
@pytest.mark.parametrize("by_file", [True, False], ids=["file", "set"])
def test_an_old_name_is_understood_with_a_sentence(
    old: str, new: str, by_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {
        name: getattr(one, name)
        for one in FIELDS[new].metadata
        for name in ("ge", "le", "lt")
        if hasattr(one, name)
    }
    # Any allowed value that is not the default.
    value = limits.get("le", limits.get("ge", 0) + 1) if "lt" not in limits else limits["lt"] / 2
    value = value if value != FIELDS[new].default else value + 1
    if FIELDS[new].annotation is bool:
        value = not FIELDS[new].default
    section, key = old.split(".")
    told = str(value).lower()
    (tmp_path / "mine.toml").write_text(f"[{section}]\n{key} = {told}\n")
    files = [ROOT / "conf/base.toml", *([tmp_path / "mine.toml"] if by_file else [])]
    config = load_config(files=files, overrides=[] if by_file else [f"{old}={told}"])
    assert value_of(config, new) == value != FIELDS[new].default
    expected = f"{old} is now {new}; the old name will not be understood from {GONE_IN} on"
    assert caplog.record_tuples == [("musicrec", logging.WARNING, expected)]


def test_a_later_layer_wins_whichever_name_it_uses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "old.toml").write_text("[neighbors]\ntau = 0.25\n")
    (tmp_path / "new.toml").write_text("[neighbors.expert]\ntau = 0.5\n")
    both = [tmp_path / "old.toml", tmp_path / "new.toml"]
    assert load_config(files=both).neighbors.expert.tau == 0.5
    assert load_config(files=both[::-1]).neighbors.expert.tau == 0.25
    caplog.clear()
    assert load_config(files=both, overrides=["neighbors.tau=0.75"]).neighbors.expert.tau == 0.75
    assert len(caplog.records) == 1


def test_a_key_can_move_to_another_section(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text("[neighbors]\nspread = false\nk = 7\n[lists]\nmax_per_artist = 3\n")
    config = load_config(files=[tmp_path / "old.toml"], overrides=["neighbors.one_per_work=false"])
    assert (config.lists.spread, config.lists.one_per_work, config.lists.max_per_artist) == (False, False, 3)
    assert config.neighbors.k == 7
    with pytest.raises(ConfigError, match=r"neighbors\.spread .* lists\.spread, and both are given"):
        load_config(overrides=["lists.spread=true", "neighbors.spread=true"])
    (tmp_path / "none.toml").write_text("lists = 3\n[neighbors]\nspread = false\n")
    with pytest.raises(ConfigError, match=r"lists: "):
        load_config(files=[tmp_path / "none.toml"])


def test_old_and_new_name_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "both.toml").write_text("[neighbors]\ntau = 0.5\n[neighbors.expert]\ntau = 0.5\n")
    for given_twice in (
        {"files": [tmp_path / "both.toml"]},
        {"overrides": ["neighbors.expert.tau=0.5", "neighbors.tau=0.5"]},
    ):
        with pytest.raises(ConfigError, match=r"neighbors\.tau .* neighbors\.expert\.tau, and both are given"):
            load_config(**given_twice)


def test_a_wrong_value_under_an_old_name_names_both(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"neighbors\.expert\.tau \(given as neighbors\.tau\): .*'-1'"):
        load_config(overrides=["neighbors.tau=-1"])
    with pytest.raises(ConfigError, match=r"neighbors\.expert: "):
        load_config(overrides=["neighbors.expert=3", "neighbors.tau=1"])
    assert not caplog.records


@pytest.mark.parametrize(("key", "removal"), REMOVED.items())
def test_a_removed_key_is_ignored_where_it_says_what_is_fixed(
    key: str, removal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_config(overrides=[f"{key}={removal.fixed}"]) == Config()
    assert load_config(overrides=[f"{key}={int(removal.fixed)}"]) == Config()
    assert len(caplog.records) == 2
    assert all(f"{key} was removed" in r.getMessage() and removal.reason in r.getMessage() for r in caplog.records)
    with pytest.raises(ConfigError, match=rf"{key} was removed and is fixed at {removal.fixed}.*take it out"):
        load_config(overrides=[f"{key}=0.3"])


def test_no_name_is_both_old_and_new() -> None:
    assert set(RENAMED.values()) <= set(FIELDS)
    assert not (set(RENAMED) | set(REMOVED)) & set(FIELDS)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1, exclude_max=True))
def test_the_resolved_configuration_reads_back(text: str, share: float) -> None:
    base = Config()
    expert = base.model.expert.model_copy(update={"dropout": share})
    config = base.model_copy(
        update={
            "input": base.input.model_copy(
                update={"tracks": text, "columns": {text: text}, "id_from": (text, "b")}
            ),
            "model": base.model.model_copy(update={"hidden_layers": (), "expert": expert}),
        }
    )
    assert Config.model_validate(tomllib.loads(resolved_toml(config))) == config


def test_the_resolved_configuration_holds_every_key_in_order(tmp_path: Path) -> None:
    config = load_config(overrides=['input.tracks=C:\\songs "1"', "input.columns={title = 'the title'}"])
    (tmp_path / "all.toml").write_text(resolved_toml(config))
    assert load_config(files=[tmp_path / "all.toml"]) == config
    found = tomllib.loads(resolved_toml(config))
    assert list(found) == list(Config.model_fields)
    for name, section in found.items():
        model = Config.model_fields[name].annotation
        # TOML wants a table's own keys before the tables in it.
        keys = sorted(model.model_fields, key=lambda key, section=section: isinstance(section[key], dict))
        assert list(section) == keys


def test_reading_a_configuration_loads_neither_spark_nor_torch() -> None:
    heavy = "{'pyspark', 'torch', 'numba', 'numpy', 'pandas', 'pyarrow'}"
    code = f"import sys, musicrec.config; print(sorted({heavy} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout.strip() == "[]"


def test_lists_that_no_length_fits_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_seconds is 200, more than max_seconds, 100"):
        load_config(overrides=["lists.min_seconds=200", "lists.max_seconds=100"])
    assert load_config(overrides=["lists.min_seconds=200"]).lists.min_seconds == 200.0
