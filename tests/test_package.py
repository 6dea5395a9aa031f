"""The package: what importing it costs, its names, and the wheel in an environment of its own."""

import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import musicrec
from musicrec import cli
from tests.conftest import ROOT, make_songs
from tests.processes import QUICK, own_environment

HEAVY = ("pyspark", "torch", "numba", "pandas", "scipy")


def fresh(code: str, *arguments: str) -> str:
    """What a fresh process prints."""
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


COMMAND = f"""
import contextlib, io, sys
from musicrec import cli
code = 0
with contextlib.redirect_stdout(io.StringIO()) as shown:
    try:
        code = cli.main(sys.argv[1:])
    except SystemExit as ended:
        code = ended.code
print(code, len(shown.getvalue()) > 10, [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["refresh", "--help"], ["similar", "--help"], ["doctor"], ["config"],
     ["config", "--resolved", "--set", "neighbors.k=3"]],
    ids=" ".join,
)  # fmt: skip
def test_a_command_without_spark_imports_none(arguments: list[str]) -> None:
    assert fresh(COMMAND, *arguments) == "0 True []\n"


def test_a_failing_command_without_spark_imports_none(tmp_path: Path) -> None:
    assert fresh(COMMAND, "similar", "song", "--root", str(tmp_path)) == "1 False []\n"
    assert fresh(COMMAND, "config", "--set", "neighbors.kk=3") == "2 False []\n"


def test_importing_the_package_imports_nothing_large() -> None:
    large = ("pyarrow", "numpy", "pydantic", "rich", "pyspark")
    assert fresh(f"import sys, musicrec; print([name for name in {large} if name in sys.modules])") == "[]\n"


def test_torch_finds_its_variables_set() -> None:
    code = "import os, musicrec; print(os.environ['OMP_WAIT_POLICY'], os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    assert fresh(code) == "PASSIVE :4096:8\n"


IMPORTS = """
import importlib, pickle, sys, types
from pyspark import cloudpickle

ORDERS = [
    "import musicrec",
    "import musicrec.refresh, musicrec.neighbors",
    "from musicrec.refresh import refresh as inner; from musicrec.neighbors import pack; import musicrec",
    "from musicrec import refresh, neighbors; import musicrec; assert refresh is musicrec.refresh",
    "import musicrec.neighbors.pack; import musicrec",
    "import musicrec; musicrec.neighbors; import musicrec.refresh as module; assert module is musicrec.refresh",
    "import musicrec.interface; import musicrec",
]
for order in ORDERS:
    for name in [name for name in sys.modules if name.split(".")[0] == "musicrec"]:
        del sys.modules[name]
    exec(order, {})
    import musicrec
    from musicrec.errors import ConfigError
    for call in (lambda: musicrec.refresh({"neighbors": {"k": 0}}), lambda: musicrec.refresh(config={"no": 1})):
        try:
            call()
            raise SystemExit(f"{order}: not refused")
        except ConfigError:
            pass
    try:
        musicrec.neighbors()
        raise SystemExit(f"{order}: neighbors of nothing")
    except TypeError as error:
        assert "dataframe" in str(error), error
    # The modules are what they were.
    from musicrec.refresh import plan, refresh
    from musicrec.neighbors import pack
    assert musicrec.refresh.refresh is refresh and musicrec.neighbors.pack is pack
    assert isinstance(musicrec.refresh, types.ModuleType) and callable(musicrec.similar)
    for module in (musicrec, musicrec.refresh, musicrec.neighbors):
        assert pickle.loads(cloudpickle.dumps(module)) is module
print("done", sorted(set(dir(musicrec)) & {"refresh", "neighbors", "similar"}))
"""


def test_modules_are_functions_in_whatever_order_they_are_imported() -> None:
    assert fresh(IMPORTS) == "done ['neighbors', 'refresh', 'similar']\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(musicrec, "nothing")


def test_where_the_system_is_not_supported_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["similar", "song", "--root", "out"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: musicrec runs on Linux and macOS, found win32"
    assert len(lines) == 2


def test_each_command_has_an_example_that_its_parser_takes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("refresh", "neighbors", "evaluate", "similar", "doctor", "config"):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        (example,) = re.findall(r"example:\n  musicrec (.*)", shown)
        assert cli.make_parser().parse_args(example.split()).command == command


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["similar", "a"], ["similar", "a", "--root", "x", "-k", "0"], ["refresh", "-q", "-v"]],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: ")
    assert "--help" in said[-1]
    assert len(said) <= 5


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    # Nothing may lead back to the checkout.
    environment = {name: value for name, value in own_environment().items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished


def make_wheel(directory: Path) -> Path:
    """Build from a copy: a build leaves files beside what it reads."""
    source = directory / "source"
    source.mkdir()
    names = ["musicrec", "conf", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    run(["cp", "-r", *(str(ROOT / name) for name in names), str(source)], directory)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", str(directory), str(source)], directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def make_environment(directory: Path, wheel: Path) -> Path:
    """Install the wheel into an empty virtual environment; return its programs.

    The packages that it needs take gigabytes. So they are only installed where MUSICREC_WHOLE_INSTALL is set, as
    `scripts/test.sh --versions` does; else the environment sees those of this test, which are of the same
    constraints, and that they meet what the wheel requires is checked by the test.
    """
    environment = directory / "environment"
    run([sys.executable, "-m", "venv", str(environment)], directory)
    if os.environ.get("MUSICREC_WHOLE_INSTALL"):
        constraints = ["--constraint", str(ROOT / "conf" / "constraints.txt")]
        run([str(environment / "bin" / "pip"), "install", "--quiet", *constraints, str(wheel)], directory)
        return environment / "bin"
    (packages,) = environment.glob("lib/python*/site-packages")
    # An editable musicrec of this environment is found by a hook of its .pth file, which is not read there.
    (packages / "seen.pth").write_text(metadata.distribution("pyspark").locate_file("").__fspath__() + "\n")
    programs = environment / "bin"
    # Without another's musicrec, which would count as installed already.
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--ignore-installed", "--no-deps"]
    run([*pip, str(wheel)], directory)
    return programs


UNMET = """
import importlib.metadata as metadata
from packaging.requirements import Requirement
for text in metadata.requires("musicrec"):
    need = Requirement(text)
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        if not need.specifier.contains(metadata.version(need.name), prereleases=True):
            print(text, metadata.version(need.name))
import musicrec
print(musicrec.__file__)
"""


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_elsewhere(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "musicrec/py.typed",
        "musicrec/report/page.html.j2",
        "musicrec/__main__.py",
        "musicrec/base.toml",
    } <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "jobs/"))]
    programs, elsewhere = make_environment(tmp_path, wheel), tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_songs(300).to_csv(elsewhere / "songs.csv", index=False)
    found = run([str(programs / "python"), "-c", UNMET], elsewhere).stdout.splitlines()
    assert len(found) == 1, found
    assert found[0].startswith(str(tmp_path / "environment"))
    command = str(programs / "musicrec")
    settings = [part for item in (*QUICK, "input.tracks=songs.csv", "output.root=out") for part in ("--set", item)]
    finished = run([command, "refresh", *settings], elsewhere)
    lines = finished.stderr.splitlines()
    # No noise of the JVM before the first line, nor later.
    assert lines[0].endswith("starting Spark")
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines), lines
    assert Path(finished.stdout.strip()).is_dir()
    assert {path.name for path in elsewhere.iterdir()} == {"songs.csv", "out"}
    listed = run([command, "similar", "song-0001", "--root", "out"], elsewhere).stdout
    assert len(re.findall(r"song-\d{4}", listed)) == 10
    version = run([str(programs / "python"), "-m", "musicrec", "--version"], elsewhere).stdout
    assert version == f"musicrec {musicrec.__version__}\n" == f"musicrec {metadata.version('musicrec')}\n"
    keys = run([command, "config"], elsewhere).stdout
    assert "target_recall" in keys
