"""The rules of ARCHITECTURE.md as functions: modules in, breaches out, a sentence each.

A module is known by its dotted name and its source, so a rule can be tried on one that was never written to disk.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Top to bottom. A module may import from the lines below its own, and within its own room.
LINES = (
    ("jobs", "musicrec.__main__", "musicrec"),
    ("musicrec.cli", "musicrec.interface"),
    ("musicrec.arguments", "musicrec.launch", "musicrec.query", "musicrec.doctor", "musicrec.daemon"),
    ("musicrec.operations",),
    ("musicrec.exits", "musicrec.console"),
    ("musicrec.refresh",),
    ("musicrec.evaluation", "musicrec.vectors", "musicrec.report"),
    ("musicrec.encoder", "musicrec.lists"),
    ("musicrec.catalog", "musicrec.neighbors"),
    ("musicrec.context",),
    ("musicrec.spark",),
    ("musicrec.storage",),
    ("musicrec.gates",),
    ("musicrec.config", "musicrec.messages"),
    ("musicrec.schemas", "musicrec.config_lists"),
    ("musicrec.config_findings", "musicrec.config_layers", "musicrec.config_types"),
    ("musicrec.config_renames",),
    ("musicrec.measures",),
    ("musicrec.arrays", "musicrec.songs", "musicrec.errors", "musicrec.compiled", "musicrec.traits"),
    ("musicrec.shown", "musicrec.held"),
)
PURE = (
    "musicrec.encoder.learning",
    "musicrec.neighbors.search",
    "musicrec.measures",
    "musicrec.lists.places",
    "musicrec.lists.nearest",
    "musicrec.lists.fusion",
)
SPARK = ("pyspark", "py4j", "musicrec.spark")
OF_FILES = ("pathlib", "os", "shutil", "tempfile")
SESSION_MAKERS = ("builder", "getOrCreate", "getActiveSession")
CLASSIC_ONLY = ("rdd", "sparkContext", "_jvm", "_jdf", "_sc", "accumulator", "foreachPartition")
HEAVY = ("pyspark", "torch", "numba")
SAYS_NOTHING = ("utils", "util", "helpers", "common", "misc")
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_JOB_LINES = 300, 40, 60
N_EXPLAINED = 3

Modules = dict[str, str]


def read_modules() -> Modules:
    """Return the source of each module of the package and the jobs by its dotted name."""
    paths = sorted([*ROOT.glob("musicrec/**/*.py"), *ROOT.glob("jobs/*.py")])
    return {name_of(path.relative_to(ROOT)): path.read_text() for path in paths}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@cache
def parse(source: str) -> ast.Module:
    return ast.parse(source)


def room_of(module: str) -> str | None:
    """Return the room on the lines that a module belongs to."""
    rooms = [room for line in LINES for room in line if room != "musicrec"]
    found = [room for room in rooms if module == room or module.startswith(room + ".")]
    return found[0] if found else ("musicrec" if module == "musicrec" else None)


def line_of(room: str) -> int:
    return next(i for i, line in enumerate(LINES) if room in line)


def is_in(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@cache
def imports_of(source: str, *, at_top: bool = False) -> frozenset[str]:
    """Return what a module imports, names of modules and of what is taken from them."""
    found = set()
    for node in parse(source).body if at_top else ast.walk(parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def functions_of(source: str) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """Yield each function with its name and whether it can be called from elsewhere by it."""

    def walk(body: list[ast.stmt], prefix: str, is_public: bool) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
        for node in body:
            public = is_public and not getattr(node, "name", "_").startswith("_")
            if isinstance(node, ast.FunctionDef):
                yield prefix + node.name, node, public
                yield from walk(node.body, f"{prefix}{node.name}.", False)
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.", public)

    yield from walk(parse(source).body, "", True)


def closure_of(module: str, modules: Modules, *, at_top: bool) -> set[str]:
    """Return all that a module imports, by way of others of ours too."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imports_of(modules[waiting.pop()], at_top=at_top) - seen:
            seen.add(name)
            # Importing a.b runs a, too.
            parents = [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 2)]
            waiting += [each for each in parents if each in modules and each != "musicrec" and each != module]
    return seen


def upward_imports(modules: Modules) -> list[str]:
    """Imports go downward only; rooms on one line never import each other."""
    found = []
    for name, source in modules.items():
        own = room_of(name)
        if own is None:
            found.append(f"{name} is in no room")
            continue
        for imported in sorted(imports_of(source)):
            other = room_of(imported)
            # The version stands at the top of the package, for all to read.
            if other is None or other == own or imported in ("musicrec", "musicrec.__version__"):
                continue
            if line_of(other) <= line_of(own):
                found.append(f"{name} imports {imported}")
    return found


def relative_imports(modules: Modules) -> list[str]:
    """Imports are absolute and name what they take."""
    return [
        f"{name} imports relatively, or all names"
        for name, source in modules.items()
        for node in ast.walk(parse(source))
        if isinstance(node, ast.ImportFrom) and (node.level or any(alias.name == "*" for alias in node.names))
    ]


def circles(modules: Modules) -> list[str]:
    """No module imports itself by way of others."""
    return [name for name in modules if name != "musicrec" and name in closure_of(name, modules, at_top=True)]


def impure_rooms(modules: Modules) -> list[str]:
    """Pure rooms import neither pyspark nor `musicrec.spark`, not by way of others either."""
    return [
        f"{name} reaches {imported}"
        for name in modules
        if is_in(name, PURE)
        for imported in sorted(closure_of(name, modules, at_top=False))
        if is_in(imported, SPARK)
    ]


def files_elsewhere(modules: Modules) -> list[str]:
    """Only `storage/` imports pathlib, os, shutil, tempfile."""
    return [
        f"{name} imports {imported}"
        for name, source in modules.items()
        if name.startswith("musicrec") and not is_in(name, ("musicrec.storage",))
        for imported in sorted(imports_of(source))
        if imported.split(".")[0] in OF_FILES
    ]


def sessions_elsewhere(modules: Modules) -> list[str]:
    """Only `storage/` and `spark/` name what makes a SparkSession."""
    return [
        f"{name} names {node.attr}"
        for name, source in modules.items()
        if not is_in(name, ("musicrec.storage", "musicrec.spark"))
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Attribute) and node.attr in SESSION_MAKERS
    ]


def stages_without_file(modules: Modules) -> list[str]:
    """Every `context.stage("x")` has a file `x.py`; what the log says is where the file is."""
    files = {name.rsplit(".", 1)[-1] for name in modules}
    found = []
    for name, source in modules.items():
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "stage":
                stage = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
                if stage not in files:
                    found.append(f"{name} has a stage {stage!r}, but no file has its name")
                elif name.rsplit(".", 1)[-1] != stage and f"musicrec.storage.{stage}" not in modules:
                    found.append(f"{name} has the stage {stage!r} of another file")
    return found


def datasets_elsewhere(modules: Modules) -> list[str]:
    """Every dataset's name stands in `storage/datasets.py`."""
    names = set()
    for node in ast.walk(parse(modules["musicrec.storage.datasets"])):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Dataset":
            names.add(node.args[0].value)  # type: ignore[attr-defined]
    found = []
    for name, source in modules.items():
        if name == "musicrec.storage.datasets":
            continue
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Dataset":
                found.append(f"{name} makes a dataset")
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                if isinstance(node.right, ast.Constant) and node.right.value in names:
                    found.append(f"{name} names the directory {node.right.value!r}")
            elif isinstance(node, ast.JoinedStr) and any(
                re.search(rf"(^|/){part}(/|$)", str(value.value))
                for value in node.values
                if isinstance(value, ast.Constant) and "/" in str(value.value)
                for part in names
            ):
                found.append(f"{name} names a directory in a text")
            elif isinstance(node, ast.Call) and _names_a_dataset_by_text(node):
                found.append(f"{name} gives a text for a dataset")
    return found


def _names_a_dataset_by_text(call: ast.Call) -> bool:
    of = ast.unparse(call.func)
    takes_one = of.rsplit(".", 1)[-1] in ("path", "files", "groups") and not of.startswith("importlib.")
    return takes_one and any(isinstance(argument, ast.Constant) for argument in call.args)


def heavy_command_line(modules: Modules) -> list[str]:
    """`musicrec.cli` imports no pyspark, torch or numba when it is imported."""
    if "musicrec.cli" not in modules:
        return []
    reached = closure_of("musicrec.cli", modules, at_top=True)
    return [f"musicrec.cli reaches {name}" for name in sorted(reached) if name.split(".")[0] in HEAVY]


def classic_only(modules: Modules) -> list[str]:
    """DataFrame and SQL API only."""
    return [
        f"{name} uses {node.attr}"
        for name, source in modules.items()
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Attribute) and node.attr in CLASSIC_ONLY
    ]


def row_wise_functions(modules: Modules) -> list[str]:
    """Arrow in, Arrow out: never a Python function a row."""
    return [
        f"{name} uses {node.attr}"
        for name, source in modules.items()
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Attribute) and node.attr in ("udf", "pandas_udf", "applyInPandas", "mapInPandas")
    ]


def unsafe_code(modules: Modules) -> list[str]:
    """No pickle, no `torch.load`, nothing that runs text."""
    found = []
    for name, source in modules.items():
        found += [
            f"{name} imports {i}" for i in imports_of(source) if i.split(".")[0] in ("pickle", "cloudpickle")
        ]
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("eval", "exec", "torch.load") or (
                    called == "np.load" and "allow_pickle=False" not in ast.unparse(node)
                ):
                    found.append(f"{name} calls {called}")
    return found


def hidden_writers(modules: Modules) -> list[str]:
    """A function that writes is called `write_...` and returns what it wrote; `as_` only changes what a row is."""
    found = []
    for name, source in modules.items():
        if is_in(name, ("musicrec.storage", "musicrec.context", *PURE)) or not is_in(name, ("musicrec",)):
            continue
        for label, node, public in functions_of(source):
            arguments = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            calls = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
            writes = "write" in arguments or bool(calls & {"context.write", "write_table"})
            last = label.rsplit(".", 1)[-1]
            if public and writes and not last.startswith(("write_", "rewrite_")):
                found.append(f"{name}.{label} writes")
            if last.startswith("write_") and public and isinstance(node.returns, ast.Constant):
                found.append(f"{name}.{label} does not return what it wrote")
            if last.startswith(("as_", "with_", "keep_")) and writes:
                found.append(f"{name}.{label} writes")
    return found


def long_code(modules: Modules) -> list[str]:
    """Modules of at most 300 lines, functions of at most 40, jobs of at most 60."""
    found = []
    for name, source in modules.items():
        limit = MAX_JOB_LINES if name.startswith("jobs.") else MAX_MODULE_LINES
        n = source.count("\n")
        found += [f"{name} has {n} lines"] if n > limit else []
        found += [
            f"{name}.{label} has {len_of(node)} lines"
            for label, node, _ in functions_of(source)
            if len_of(node) > MAX_FUNCTION_LINES
        ]
    return found


def len_of(node: ast.FunctionDef) -> int:
    """Return the lines of a function without its docstring: what it says of itself is not what it does."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


def undocumented(modules: Modules) -> list[str]:
    """Public functions and classes have a docstring; of three parameters or more, a `Parameters` section."""
    found = []
    for name, source in modules.items():
        found += [f"{name} does not say what it is"] if not ast.get_docstring(parse(source)) else []
        for node in parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                found.append(f"{name}.{node.name} has no docstring")
        for label, node, public in functions_of(source):
            if not public or re.fullmatch(r"__\w+__", label.rsplit(".", 1)[-1]):
                continue
            text = ast.get_docstring(node) or ""
            arguments = [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
            if not text:
                found.append(f"{name}.{label} has no docstring")
            elif len(arguments) >= N_EXPLAINED and "Parameters\n" not in text:
                found.append(f"{name}.{label} does not say what its parameters are")
    return found


def empty_names(modules: Modules) -> list[str]:
    """No file has a name that says nothing."""
    return [name for name in modules if name.rsplit(".", 1)[-1] in SAYS_NOTHING]


def names_twice(modules: Modules) -> dict[str, list[str]]:
    """Return the public names that are defined in more than one module, each with these."""
    found = defaultdict(list)
    for module, source in modules.items():
        for node in parse(source).body:
            names: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                targets = [t for target in node.targets for t in getattr(target, "elts", [target])]
                names = [t.id for t in targets if isinstance(t, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if not name.startswith("_") and module.startswith("musicrec"):
                    found[name].append(module)
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}
