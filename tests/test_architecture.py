"""The architecture is a test: imports go downward only, and modules on one line never import each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Top to bottom. A module may import from the lines below its own, and within its own package where marked.
LINES = [
    {"jobs", "musicrec.cli"},
    {"musicrec.launch"},
    {"musicrec.pipeline"},
    {"musicrec.stages", "musicrec.storage", "musicrec.report"},
    {"musicrec.algorithms"},
    {"musicrec.tasks"},
    {"musicrec.arrow"},
    {"musicrec.config", "musicrec.schemas"},
    {"musicrec.songs"},
    {"musicrec.errors"},
]
# Their modules build on each other; stages never do.
MAY_IMPORT_ITSELF = {"musicrec.pipeline", "musicrec.storage", "musicrec.algorithms"}


def unit_of(module: str) -> str | None:
    units = [unit for line in LINES for unit in line if module == unit or module.startswith(unit + ".")]
    return units[0] if units else None


def line_of(unit: str) -> int:
    return next(i for i, line in enumerate(LINES) if unit in line)


def modules() -> list[tuple[str, Path]]:
    paths = sorted([*ROOT.glob("musicrec/**/*.py"), *ROOT.glob("jobs/*.py")])
    return [(".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), p) for p in paths]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_downward(name: str, path: Path) -> None:
    own = unit_of(name)
    if name == "musicrec":
        assert not {i for i in imports_of(path) if i.startswith("musicrec")}
        return
    assert own is not None, f"{name} stands on no line of the architecture"
    for imported in imports_of(path):
        other = unit_of(imported)
        if other is None or (other == own and own in MAY_IMPORT_ITSELF):
            continue
        assert line_of(other) > line_of(own), f"{name} imports {imported}"


def test_the_rule_sees_an_upward_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from musicrec.stages import clean\n")
    assert "musicrec.stages.clean" in imports_of(bad)
    assert line_of(unit_of("musicrec.stages.clean")) < line_of("musicrec.algorithms")


def test_algorithms_know_no_spark() -> None:
    for name, path in modules():
        if name.startswith("musicrec.algorithms"):
            assert not {i for i in imports_of(path) if i.split(".")[0] == "pyspark" or i == "musicrec.schemas"}, (
                name
            )


def test_only_storage_and_pipeline_write() -> None:
    for name, path in modules():
        if name.startswith("musicrec.stages"):
            text = path.read_text()
            assert ".write" not in text
            assert ".read." not in text
            assert "SparkSession" not in text


def test_no_classic_only_api() -> None:
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"rdd", "sparkContext", "_jvm", "_jdf", "_sc"}, name


def test_jobs_are_thin() -> None:
    for path in ROOT.glob("jobs/*.py"):
        assert len(path.read_text().splitlines()) <= 60, path


def test_public_functions_have_docstrings() -> None:
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                nested = isinstance(node, ast.FunctionDef) and _is_nested(path, node)
                assert nested or ast.get_docstring(node), f"{name}.{node.name} has no docstring"


def _is_nested(path: Path, wanted: ast.FunctionDef) -> bool:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    inner = [child for f in functions for child in ast.walk(f) if child is not f]
    return any(isinstance(n, ast.FunctionDef) and n.lineno == wanted.lineno for n in inner)
