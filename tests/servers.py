"""Real servers of stores for tests: one that keeps its promises, and one that does not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

KEY, SECRET = "the-key-of-tests", "the-planted-secret-of-tests"
# Of somebody who may not write.
READER_KEY = "the-key-of-a-reader"
# Azure's name an account, and its keys are read as Base64.
ACCOUNT, ACCOUNT_KEY = "accountoftests", base64.b64encode(SECRET.encode()).decode()
START_S = 60
BUCKET = "lists"


@dataclass
class Server:
    """A server of buckets at `endpoint`, and what a client's environment says to reach it."""

    endpoint: str
    command: list[str]
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the client looks for."""
        return {
            "AWS_ENDPOINT": self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        }  # fmt: skip

    def start(self) -> None:
        """Start, and wait for answers."""
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.directory)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                try:
                    urllib.request.urlopen(self.endpoint, timeout=2).close()
                    return
                except urllib.error.HTTPError:
                    return
            time.sleep(0.2)
        told = (self.directory / "server.log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"{self.command[0]} does not start: {told}")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class AzureServer(Server):
    """A server of an account's containers."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the client looks for."""
        return {
            "AZURE_STORAGE_ENDPOINT": self.endpoint, "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        }  # fmt: skip


def free_ports(n: int) -> list[int]:
    """Return ports that nobody listens at; weed takes each port plus 10,000, too."""
    found: list[int] = []
    while len(found) < n:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1] % 20_000 + 20_000
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", port + 10_000))
                found.append(port)
    return found


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start a server, and end it with the block."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def seaweed(directory: Path) -> Iterator[Server]:
    """Run SeaweedFS, with a bucket: S3 as it should be."""
    s3, master, volume, filer = free_ports(4)
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    known = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    reader = {"accessKey": READER_KEY, "secretKey": SECRET}
    reads = {"name": "reader", "credentials": [reader], "actions": ["Read", "List"]}
    (directory / "s3.json").write_text(json.dumps({"identities": [known, reads]}))
    (directory / "buckets").mkdir()
    command = [
        _program("weed"), "server", f"-dir={directory / 'buckets'}", "-ip=127.0.0.1", "-s3", f"-s3.port={s3}",
        f"-s3.config={directory / 's3.json'}", f"-master.port={master}", f"-volume.port={volume}",
        f"-filer.port={filer}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64",
        "-volume.max=50",
    ]  # fmt: skip
    server = Server(f"http://127.0.0.1:{s3}", command, directory)
    with running(server):
        _make_bucket(server)
        yield server


@contextlib.contextmanager
def hdfs(directory: Path, jars: Path) -> Iterator[str]:
    """Run a NameNode and a DataNode of the jars of a directory, and give the file system's URI."""
    ports = free_ports(5)
    uri = f"hdfs://127.0.0.1:{ports[0]}"
    for name in ("classes/webapps/hdfs", "classes/webapps/datanode", "conf"):
        (directory / name).mkdir(parents=True)
    settings = {
        "fs.defaultFS": uri, "dfs.namenode.name.dir": (directory / "names").as_uri(), "dfs.replication": "1",
        "dfs.datanode.data.dir": (directory / "data").as_uri(), "dfs.webhdfs.enabled": "false",
        "dfs.namenode.http-address": f"127.0.0.1:{ports[1]}", "dfs.datanode.address": f"127.0.0.1:{ports[2]}",
        "dfs.datanode.http.address": f"127.0.0.1:{ports[3]}", "dfs.datanode.ipc.address": f"127.0.0.1:{ports[4]}",
        "dfs.permissions.enabled": "false",
    }  # fmt: skip
    told = "".join(f"<property><name>{k}</name><value>{v}</value></property>" for k, v in settings.items())
    for name in ("core-site.xml", "hdfs-site.xml"):
        (directory / "conf" / name).write_text(f"<configuration>{told}</configuration>")
    packages = ("java.lang", "java.nio", "java.net", "java.util", "java.io", "java.security", "sun.nio.ch")
    opened = [part for each in packages for part in ("--add-opens", f"java.base/{each}=ALL-UNNAMED")]
    java = ["java", *opened, "-Xmx256m", "-cp", f"conf:classes:{jars}/*"]
    node, others = "org.apache.hadoop.hdfs.server.", list[subprocess.Popen[bytes]]()
    with (directory / "server.log").open("ab") as log:
        given: dict[str, object] = {"stdout": log, "stderr": log, "cwd": directory}
        subprocess.run([*java, f"{node}namenode.NameNode", "-format", "-force"], check=True, **given)  # type: ignore[call-overload]
        try:
            for kind in ("namenode.NameNode", "datanode.DataNode"):
                others.append(subprocess.Popen([*java, f"{node}{kind}"], **given))  # type: ignore[call-overload]
            _wait_for_hdfs(uri)
            yield uri
        finally:
            for process in others:
                process.kill()
                process.wait()


def _wait_for_hdfs(uri: str) -> None:
    """Wait until a file can be written: the DataNode comes last."""
    from hdfs_native import Client, WriteOptions

    until = time.monotonic() + START_S
    while True:
        try:
            with Client(uri).create("/made", WriteOptions(overwrite=True)) as file:
                file.write(b"x")
            return
        except (OSError, RuntimeError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@contextlib.contextmanager
def azurite(directory: Path, installed: Path) -> Iterator[AzureServer]:
    """Run Azurite, Microsoft's emulator of Azure's blobs, with a container; `installed` is where npm put it."""
    (port,) = free_ports(1)
    command = [
        "env", f"AZURITE_ACCOUNTS={ACCOUNT}:{ACCOUNT_KEY}", str(installed / "node_modules/.bin/azurite-blob"),
        f"--blobPort={port}", "--blobHost=127.0.0.1", "--inMemoryPersistence", "--extentMemoryLimit=1024",
        "--skipApiVersionCheck", "--disableTelemetry", "--silent",
    ]  # fmt: skip
    server = AzureServer(f"http://127.0.0.1:{port}/{ACCOUNT}", command, directory)
    with running(server):
        _make_container(server)
        yield server


def _make_container(server: AzureServer) -> None:
    """Make the container: the client cannot, so the request is signed here."""
    told = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    lines = [
        "PUT", *[""] * 11, *(f"{name}:{value}" for name, value in told.items()),
        f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}", "restype:container",
    ]  # fmt: skip
    signed = hmac.digest(base64.b64decode(ACCOUNT_KEY), "\n".join(lines).encode(), hashlib.sha256)
    told["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}"
    url = f"{server.endpoint}/{BUCKET}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=told), timeout=START_S).close()


@contextlib.contextmanager
def rclone(directory: Path) -> Iterator[Server]:
    """Run rclone's server, with a bucket: it ignores the conditions of a write."""
    (port,) = free_ports(1)
    (directory / "buckets" / BUCKET).mkdir(parents=True)
    command = [
        _program("rclone"), "serve", "s3", str(directory / "buckets"), f"--addr=127.0.0.1:{port}",
        f"--auth-key={KEY},{SECRET}",
    ]  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", command, directory)
    with running(server):
        yield server


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is not installed: bash scripts/setup.sh test")
    return found


def _make_bucket(server: Server) -> None:
    """Make the bucket with the first object in it, as this server does."""
    import obstore
    from obstore.store import S3Store

    names = {"AWS_ENDPOINT": "endpoint", "AWS_REGION": "region", "AWS_ACCESS_KEY_ID": "access_key_id",
             "AWS_SECRET_ACCESS_KEY": "secret_access_key"}  # fmt: skip
    given = {ours: server.environment[theirs] for theirs, ours in names.items()}
    until = time.monotonic() + START_S
    while True:
        try:
            obstore.put(S3Store(BUCKET, config=given, client_options={"allow_http": True}), "made", b"")
            return
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@dataclass
class Node:
    """A machine of a cluster: a process with a directory of its own."""

    process: subprocess.Popen[bytes]
    directory: Path

    def stop(self) -> None:
        """End it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """A standalone cluster of Spark, with two workers."""

    master: str
    nodes: list[Node]


def apart(command: list[str], shared: Path, own: Path) -> list[str]:
    """Return a command whose process sees an empty directory in place of a shared one, where the system lets it.

    Its own directory, which is below, is made anew in what only this process and those that it starts see.
    """
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return command
    script = 'mount -t tmpfs tmpfs "$0" && mkdir -p "$1" && cd "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(shared), str(own), *command]


@contextlib.contextmanager
def standalone(directory: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Run a master and two workers of Spark's own standalone cluster, as processes that share no directory."""
    import pyspark

    spark_class = str(Path(pyspark.__file__).parent / "bin/spark-class")
    port, page, *pages = free_ports(4)
    nodes: list[Node] = []

    def start(name: str, *arguments: str) -> Node:
        own = directory / name
        own.mkdir()
        given = {
            **environment, "SPARK_LOCAL_DIRS": str(own / "local"), "HOME": str(own), "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable, "NUMBA_CACHE_DIR": str(own / "numba"),
        }  # fmt: skip
        with (directory / f"{name}.log").open("ab") as log:
            started = [spark_class, f"org.apache.spark.deploy.{arguments[0]}", *arguments[1:]]
            process = subprocess.Popen(
                apart(started, directory, own), stdout=log, stderr=log, env=given, start_new_session=True
            )
        nodes.append(Node(process, own))
        return nodes[-1]

    try:
        start("master", "master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page))
        workers = [
            start(f"worker-{i}", "worker.Worker", f"spark://127.0.0.1:{port}", "--cores", "1", "--memory", "1500m",
                  "--webui-port", str(pages[i]), "--work-dir", str(directory / f"worker-{i}" / "work"))
            for i in range(2)
        ]  # fmt: skip
        until = time.monotonic() + START_S
        while _alive_workers(page) < len(workers):
            assert time.monotonic() < until, "the workers do not come"
            time.sleep(0.3)
        yield Cluster(f"spark://127.0.0.1:{port}", workers)
    finally:
        for node in reversed(nodes):
            node.stop()


def _alive_workers(page: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=2) as answer:
            return int(json.load(answer)["aliveworkers"])
    except (OSError, ValueError, KeyError):
        return 0
