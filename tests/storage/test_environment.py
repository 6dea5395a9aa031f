"""What programs say while they start is kept from stderr; what they say later is not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from musicrec.errors import ConfigError
from musicrec.storage import environment
from tests.conftest import ROOT

PARENT = """
import subprocess, sys, time
from musicrec.storage import environment

CHILD = "import sys; sys.stderr.write('noise\\\\nmore noise\\\\n'); sys.stderr.flush(); " \\
    "input(); sys.stderr.write('news\\\\n')"
with environment.held_back() as kept:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE)
    # Until it has written both lines: it then waits for a line itself.
    while len(kept) < 2:
        time.sleep(0.01)
    sys.stderr.write("own\\n")
sys.stderr.write("mine\\n")
child.communicate(b"go\\n")
time.sleep(0.5)
print(kept)
"""


def test_what_is_said_meanwhile_is_kept_and_the_rest_passed_on() -> None:
    finished = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, cwd=ROOT, check=True)
    assert finished.stdout == "['noise', 'more noise', 'own']\n"
    assert finished.stderr.splitlines() == ["mine", "news"]


def test_a_failure_meanwhile_leaves_stderr_as_it_was() -> None:
    code = (
        "import sys; from musicrec.storage import environment\n"
        "try:\n    with environment.held_back():\n        raise OSError('no')\n"
        "except OSError:\n    sys.stderr.write('told\\n')"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert finished.stderr == "told\n"


@pytest.mark.parametrize(("platform", "supported"), [("linux", True), ("darwin", True), ("win32", False)])
def test_supported_systems(monkeypatch: pytest.MonkeyPatch, platform: str, supported: bool) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if supported:
        environment.check_supported()
        return
    with pytest.raises(ConfigError, match="Linux and macOS"):
        environment.check_supported()


def test_java_is_that_of_java_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert environment.find_java() is None
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("")
    java.chmod(0o755)
    assert environment.find_java() == str(java)


def test_what_cannot_be_looked_at_is_not_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not environment.is_small(str(tmp_path / "nowhere"))
    assert not environment.is_small("s3a://bucket/songs")
    assert not environment.is_small("")
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.csv").write_text("x" * 100)
    assert environment.is_small(str(tmp_path / "songs"))
    assert environment.is_small(str(tmp_path / "songs" / "a.csv"))
    monkeypatch.setattr(environment, "SMALL_BYTES", 100)
    assert not environment.is_small(str(tmp_path / "songs"))
    monkeypatch.undo()
    (tmp_path / "songs" / ".#a.csv").symlink_to("nobody")
    assert not environment.is_small(str(tmp_path / "songs"))


LAST_WORDS = """
import atexit, sys
from musicrec.storage import environment
atexit.register(lambda: print("gone"))
print("said", end=" ")
environment.end_process(int(sys.argv[1]))
"""


def test_a_process_that_ends_at_once_says_all_and_leaves_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LAST_WORDS, "3"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said gone\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_what_cannot_be_said_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        assert subprocess.run([sys.executable, "-c", LAST_WORDS, "0"], stdout=full).returncode == 1


@pytest.mark.parametrize("closed", ["sys.stdout", "sys.stderr"])
def test_a_closed_descriptor_changes_no_exit_code(closed: str) -> None:
    code = f"import sys; {closed} = None; from musicrec.storage import environment; environment.end_process(2)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 2


# Waits for a line before the block ends; what comes meanwhile is told after it.
DEFERRED = """
import signal, sys
from musicrec.storage import environment
# The process that tests may have been told to ignore it.
signal.signal(signal.SIGINT, {handler})
try:
    with environment.deferred_signals():
        print("begun", flush=True)
        sys.stdin.readline()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("done", flush=True)
    print(signal.getsignal(signal.SIGINT) is {handler})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    ("handler", "n_signals", "said"),
    [
        ("signal.default_int_handler", 0, "done\nTrue\n"),
        ("signal.default_int_handler", 1, "done\ninterrupted\n"),
        ("signal.default_int_handler", 2, "interrupted\n"),
        ("signal.SIG_IGN", 2, "done\nTrue\n"),
    ],
)
def test_a_signal_waits_for_the_end_and_a_second_one_does_not(handler: str, n_signals: int, said: str) -> None:
    code = DEFERRED.format(handler=handler)
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "begun\n"
        for _ in range(n_signals):
            child.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert child.communicate("\n", timeout=30)[0] == said
