"""What the process was given: variables, cores, programs, the system. Imports the standard library only."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn

from musicrec.errors import ConfigError

SUPPORTED = ("linux", "darwin")
STDOUT, STDERR = 1, 2
# Of 100,000 songs as Parquet.
SMALL_BYTES = 16 * 2**20


def check_supported() -> None:
    """Raise where the system lacks what the storage needs: file locks and renames of POSIX.

    Raises
    ------
    ConfigError
        It is neither Linux nor macOS.
    """
    if sys.platform not in SUPPORTED:
        raise ConfigError(
            f"musicrec runs on Linux and macOS, found {sys.platform}", todo="on Windows use WSL, or a container"
        )


def set_default(name: str, value: str) -> None:
    """Set a variable of this process, and of those that it starts, unless it is set."""
    os.environ.setdefault(name, value)


def n_cores() -> int:
    """Return how many cores the machine has."""
    return os.cpu_count() or 1


def find_java() -> str | None:
    """Return the Java that Spark would start, None where there is none."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=os.path.join(home, "bin")) if home else shutil.which("java")


def class_archive() -> str | None:
    """Return the archive of the classes that Spark loads, which `scripts/warm.sh` makes; None where there is none.

    Java starts quicker with it, and ignores one of another Java or Spark.
    """
    path = os.path.join(sys.prefix, "share", "musicrec", "spark-classes.jsa")
    return path if os.path.exists(path) else None


def is_small(path: str) -> bool:
    """Return whether a local file or directory holds few bytes; what cannot be looked at is not small."""
    n_bytes = 0
    try:
        if os.path.isfile(path):
            return os.path.getsize(path) < SMALL_BYTES
        # A directory that is not there has no files, either.
        for at, _, names in os.walk(path):
            for name in names:
                n_bytes += os.path.getsize(os.path.join(at, name))
                if n_bytes >= SMALL_BYTES:
                    return False
    except OSError:
        return False
    return n_bytes > 0


def worker_python() -> str:
    """Return the Python that Spark's workers run."""
    return os.environ.get("PYSPARK_PYTHON", sys.executable)


def can_fork_workers() -> bool:
    """Return whether what this process can import, a process that Spark forks its workers from can, too.

    They run the same Python, and Spark is the one that pip installed there, with no settings from elsewhere. Not
    on macOS, where what libraries start on being imported may not live through a fork.
    """
    is_own = not (os.environ.get("SPARK_HOME") or os.environ.get("SPARK_CONF_DIR"))
    return is_own and worker_python() == sys.executable and sys.platform == "linux"


def use_one_thread() -> None:
    """Let libraries that are imported from now on multiply with one thread: a fork loses all others."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def prefer_unpacked() -> None:
    """Import pyspark from where pip unpacked it, not from the zip files beside it, which Spark names first.

    What comes from a zip is compiled anew in each process: a second and a half.
    """
    zipped = [
        path
        for path in sys.path
        if path.endswith(".zip") and os.path.dirname(path).endswith(os.path.join("pyspark", "python", "lib"))
    ]
    sys.path = [path for path in sys.path if path not in zipped] + zipped


def is_submitted() -> bool:
    """Return whether spark-submit started this process: its JVM runs already, with the launcher's options."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def is_remote() -> bool:
    """Return whether Spark runs elsewhere, and is asked by Spark Connect."""
    return bool(os.environ.get("SPARK_REMOTE"))


def has_cluster_files() -> bool:
    """Return whether Hadoop is configured here: its default file system may be another than this machine's."""
    return bool(os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR"))


def is_dumb_terminal() -> bool:
    """Return whether the terminal cannot rewrite a line."""
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown")


def scratch() -> str:
    """Return the system's directory of temporary files."""
    return tempfile.gettempdir()


def spark_scratch() -> str:
    """Return where Spark keeps its shuffles, as far as the process was told."""
    return os.environ.get("SPARK_LOCAL_DIRS") or scratch()


def cache_path(name: str) -> str:
    """Return where something is kept from one run to the next that can be made anew."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.environ.get("NUMBA_CACHE_DIR") or os.path.join(home, "musicrec"), name)


def make_writable(directory: str) -> None:
    """Make a directory where there is none.

    Raises
    ------
    OSError
        It cannot be made or written.
    """
    os.makedirs(directory, exist_ok=True)
    tempfile.TemporaryFile(dir=directory).close()


def make_scratch(prefix: str) -> str:
    """Return a new temporary directory, which goes when this process ends."""
    directory = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def end_process(code: int) -> NoReturn:
    """End this process now: to take apart what was imported takes an interpreter a second.

    Parameters
    ----------
    code : int
        The exit code; 1 in place of 0 where what was written last does not get out.
    """
    # What was registered goes as it would: temporary directories, and what libraries hold.
    atexit._run_exitfuncs()
    # None where the process was started with the descriptor closed.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def signal_handlers() -> dict[signal.Signals, Any]:
    """Return the handlers of SIGINT and SIGTERM."""
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set handlers of signals."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def heeded(handlers: Mapping[signal.Signals, Any]) -> list[signal.Signals]:
    """Return the signals that the process was not told to ignore, as `nohup` does."""
    return [number for number, handler in handlers.items() if handler != signal.SIG_IGN]


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait for the end of the block; a second one does not.

    Java that is left alone while it starts stays for good. What the block makes of the signals is undone: Spark's
    own handler of SIGINT ends its jobs, and what then fails hides why.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal_handlers()
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        noted.append(number)
        if len(noted) > 1:
            set_handlers(before)
            signal.raise_signal(number)

    set_handlers(dict.fromkeys(heeded(before), note))
    try:
        yield
    finally:
        set_handlers(before)
        if len(noted) == 1:
            signal.raise_signal(noted[0])


@contextlib.contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """Send to stderr what is written to stdout meanwhile, by libraries, too."""
    sys.stdout.flush()
    stdout = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, STDOUT)
        os.close(stdout)


@contextlib.contextmanager
def held_back() -> Iterator[list[str]]:
    """Keep from stderr what programs write that are started meanwhile; what they write later is passed on.

    Java says on its way up what no option stops, such as which modules it uses.

    Yields
    ------
    list of str
        The lines that were kept, complete when the block is left: where the start failed, they say why.
    """
    kept: list[str] = []
    try:
        stderr = os.dup(STDERR)
    except OSError:
        # Nobody would see anything.
        yield kept
        return
    sys.stderr.flush()
    reading, writing = os.pipe()
    os.dup2(writing, STDERR)
    mark = uuid.uuid4().bytes.hex().encode() + b"\n"
    marked = threading.Event()
    # A daemon: it reads for as long as one of those programs runs.
    threading.Thread(target=_pass_on, args=(reading, stderr, mark, kept, marked), daemon=True).start()
    try:
        yield kept
    finally:
        sys.stderr.flush()
        os.dup2(stderr, STDERR)
        os.write(writing, mark)
        os.close(writing)
        marked.wait(timeout=5)


def _pass_on(reading: int, stderr: int, mark: bytes, kept: list[str], marked: threading.Event) -> None:
    with open(reading, "rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            if marked.is_set():
                os.write(stderr, line)
            elif line.endswith(mark):
                marked.set()
            else:
                kept.append(line.decode(errors="replace").rstrip())
