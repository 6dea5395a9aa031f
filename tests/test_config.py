import tomllib
from pathlib import Path

import pytest

from musicrec.config import Config, config_as_dict, load_config
from musicrec.errors import ConfigError

ROOT = Path(__file__).parents[1]


def test_base_toml_holds_every_key_with_its_default() -> None:
    base = tomllib.loads((ROOT / "conf/base.toml").read_text())
    assert load_config(files=[ROOT / "conf/base.toml"]) == Config()
    for section, model in config_as_dict(Config()).items():
        assert set(base[section]) == set(model), section


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[neighbors]\nk = 5\nleaf_size = 64\n")
    (tmp_path / "b.toml").write_text("\ufeff[neighbors]\nk = 7\n", encoding="utf-8")
    config = load_config(files=[tmp_path / "a.toml", tmp_path / "b.toml"], overrides=["neighbors.tau=0.5"])
    assert (config.neighbors.k, config.neighbors.leaf_size, config.neighbors.tau) == (7, 64, 0.5)


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
        ("neighbors.k=0", "neighbors.k"),
        ("model.dropout=1.5", "model.dropout"),
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
        load_config(overrides=["neighbors.k=0", "model.patience=0"])
    assert "neighbors.k" in str(refused.value)
    assert "model.patience" in str(refused.value)


def test_broken_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[neighbors\nk = 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(files=[tmp_path / "bad.toml"])
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(files=[tmp_path / "none.toml"])
