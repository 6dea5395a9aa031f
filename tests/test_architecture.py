"""The architecture is a test: each rule of ARCHITECTURE.md holds, and each sees a breach that is planted."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from musicrec.refresh import STAGES
from musicrec.vectors.join import STAGES as VECTOR_STAGES
from tests import rules
from tests.rules import HEAVY, ROOT, Modules

RULES: dict[Callable[[Modules], list[str]], list[tuple[str, str]]] = {
    # Each rule with modules that break it: a name, and what is added to it.
    rules.upward_imports: [
        ("musicrec.neighbors.search.items", "from musicrec.catalog import clean"),
        ("musicrec.storage.files", "import musicrec.context"),
        ("musicrec.storage.files", "from musicrec.spark import arrow"),
        ("musicrec.lists.rank", "from musicrec.encoder.train import train"),
        ("musicrec.lists.rank", "def late():\n    from musicrec.report import page"),
        ("musicrec.nowhere", "x = 1"),
        ("musicrec.launch", "import musicrec.query"),
        ("musicrec.cli", "import jobs.refresh"),
    ],
    rules.relative_imports: [
        ("musicrec.lists.rank", "from .members import as_members"),
        ("musicrec.lists.rank", "from musicrec.lists.members import *"),
    ],
    rules.circles: [("musicrec.storage.datasets", "import musicrec.storage.files\nimport musicrec.storage.runs")],
    rules.impure_rooms: [
        ("musicrec.measures.metrics", "import pyspark"),
        ("musicrec.lists.places", "from musicrec.spark.arrow import numbers"),
        # schemas imports pyspark: by way of another, too.
        ("musicrec.encoder.learning.inputs", "from musicrec import schemas"),
        ("musicrec.neighbors.search.tune", "def late():\n    from musicrec.spark import tasks"),
    ],
    rules.files_elsewhere: [
        ("musicrec.catalog.clean", "from pathlib import Path"),
        ("musicrec.refresh", "import os"),
        ("musicrec.config", "def late():\n    import tempfile"),
    ],
    rules.sessions_elsewhere: [("musicrec.lists.rank", "session = SparkSession.builder.getOrCreate()")],
    rules.stages_without_file: [
        ("musicrec.lists.rank", "def f(context):\n    with context.stage('nonsense'):\n        pass"),
        ("musicrec.lists.rank", "def f(context):\n    with context.stage('sort'):\n        pass"),
    ],
    rules.datasets_elsewhere: [
        ("musicrec.lists.rank", "LISTS = Dataset('more_lists')"),
        ("musicrec.lists.rank", "def f(run):\n    return run.work / 'tracks'"),
        ("musicrec.lists.rank", "def f(work):\n    return f'{work}/tracks'"),
        ("musicrec.lists.rank", "def f(context):\n    return context.files('lists')"),
    ],
    rules.heavy_command_line: [
        ("musicrec.cli", "import torch"),
        ("musicrec.cli", "from musicrec.storage import tables"),
    ],
    rules.classic_only: [("musicrec.lists.rank", "def f(rows):\n    return rows.rdd")],
    rules.row_wise_functions: [("musicrec.lists.rank", "double = F.udf(lambda x: 2 * x)")],
    rules.unsafe_code: [
        ("musicrec.storage.artifacts", "import pickle"),
        ("musicrec.storage.artifacts", "weights = torch.load('weights')"),
        ("musicrec.storage.artifacts", "weights = np.load('weights')"),
        ("musicrec.config", "value = eval('1')"),
    ],
    rules.hidden_writers: [
        ("musicrec.lists.rank", "def as_more(rows, write):\n    return rows"),
        ("musicrec.lists.rank", "def rank_more(context, rows):\n    return context.write(rows, LISTS)"),
        ("musicrec.lists.rank", "def write_more(context, rows) -> None:\n    context.write(rows, LISTS)"),
    ],
    rules.long_code: [
        ("musicrec.lists.rank", "\n" * 300),
        ("musicrec.lists.rank", "def f():\n" + "    x = 1\n" * 41),
        ("jobs.refresh", "\n" * 60),
    ],
    rules.undocumented: [
        ("musicrec.lists.rank", "def f():\n    return 1"),
        ("musicrec.lists.rank", "class C:\n    x = 1"),
        ("musicrec.lists.rank", "def f(a, b, *, c):\n    '''Return.'''"),
    ],
    rules.empty_names: [("musicrec.lists.helpers", "'''What is left.'''")],
}


@pytest.fixture(scope="module")
def modules() -> Modules:
    return rules.read_modules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Callable[[Modules], list[str]], modules: Modules) -> None:
    assert rule(modules) == []


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [(rule, module, text) for rule, breaches in RULES.items() for module, text in breaches],
    ids=lambda value: getattr(value, "__name__", None) or re.sub(r"\W+", "-", str(value))[:30],
)
def test_the_rule_sees_a_breach(
    rule: Callable[[Modules], list[str]], module: str, text: str, modules: Modules
) -> None:
    before = set(rule(modules))
    found = set(rule({**modules, module: modules.get(module, "") + "\n" + text + "\n"}))
    assert found > before


def test_a_command_without_a_jvm_loads_none_of_the_heavy() -> None:
    code = f"import sys, musicrec.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "stages"), [("musicrec.refresh", STAGES), ("musicrec.vectors.join", VECTOR_STAGES)]
)
def test_stages_are_named_in_the_order_in_which_they_run(
    module: str, stages: tuple[str, ...], modules: Modules
) -> None:
    """The functions that a run calls, in their order, have the stages of the list."""
    source = modules[module]
    imported = dict(re.findall(r"from (musicrec\.\S+) import ([^\n(]+)", source))
    by_function = {
        name.strip(): place.rsplit(".", 1)[-1] for place, names in imported.items() for name in names.split(",")
    }
    called = [by_function.get(name) for name in re.findall(r"\b(\w+)\(", source)]
    assert [stage for stage in dict.fromkeys(called) if stage in stages] == list(stages)


def test_the_page_names_the_stages_in_their_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert " → ".join(STAGES) in re.sub(r"\s+", " ", text)


def test_each_name_that_stands_twice_is_explained(modules: Modules) -> None:
    words = (ROOT / "docs/words.md").read_text()
    unexplained = [name for name in rules.names_twice(modules) if f"`{name}`" not in words]
    assert unexplained == []


def test_a_name_that_stands_twice_is_found(modules: Modules) -> None:
    planted = {**modules, "musicrec.lists.planted": "def write_lists():\n    return 1\n"}
    assert "write_lists" in rules.names_twice(planted)
