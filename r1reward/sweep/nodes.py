"""One Ray cluster over the nodes of an allocation: a head on the first, a worker on each other.

The nodes find each other by a file in the run's folder, which all of them see: the first writes
the cluster's address and token into it, and removes it when the run is over. A cluster takes jobs
from whoever reaches it, so this one asks for the token, which only the file's owner can read.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from r1reward.launch.session import cleaned_up
from r1reward.machine import janitor
from r1reward.store.files import replacing

_FILE = "cluster.json"
_PATIENCE = 900.0  # seconds until all nodes are there: imports from a shared disk are slow
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Nodes:
    """Where this process is in its allocation.

    Attributes:
        folder: of the run, seen by all nodes.
        allocation: one attempt of it: its name, and how often it was queued again.
        rank: of this node, from 0.
        count: of nodes.
        arguments: of ``ray start`` on every node, beside our own.
    """

    folder: Path
    allocation: str
    rank: int
    count: int
    arguments: Sequence[str]

    @property
    def _meeting(self) -> Path:
        return self.folder / _FILE

    @property
    def _said(self) -> Path:
        return self.folder / f"ray-{self.rank}.txt"

    def __call__(self, run: Callable[[], None]) -> None:
        """Call ``run`` on the first node, in an environment that names the cluster; help it else.

        Raises:
            TimeoutError: when nodes are missing.
        """
        if self.rank:
            self._follow()
            return
        with self._head() as environment:
            before = dict(os.environ)
            os.environ.update(environment)
            try:
                _wait(lambda: _alive() >= self.count, f"{self.count} nodes", self.folder)
                run()
            finally:
                os.environ.clear()
                os.environ.update(before)

    @contextmanager
    def _head(self) -> Iterator[dict[str, str]]:
        import ray.util

        host, port = ray.util.get_node_ip_address(), _free_port()
        environment = {
            "RAY_ADDRESS": f"{host}:{port}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        given = ("--head", f"--node-ip-address={host}", f"--port={port}")
        with self._started((*given, "--include-dashboard=false"), environment) as process:
            _wait(lambda: self._up(process), "the head", self._said)
            content = {"allocation": self.allocation, "environment": environment}
            with replacing(self._meeting) as part:
                part.touch(mode=0o600)
                part.write_text(json.dumps(content), encoding="utf-8")
            try:
                yield environment
            finally:
                self._meeting.unlink(missing_ok=True)

    def _follow(self) -> None:
        """Be part of the cluster until its file is gone."""
        _wait(lambda: self._environment() is not None, "the first node", self._meeting)
        environment = self._environment() or {}
        given = f"--address={environment.get('RAY_ADDRESS')}"
        with self._started([given], environment) as process:
            while self._environment() == environment and self._runs(process):
                time.sleep(_POLL_SECONDS)

    def _runs(self, process: subprocess.Popen[bytes]) -> bool:
        """Return True.

        Raises:
            RuntimeError: when Ray has ended on this node.
        """
        if process.poll() is not None:
            raise RuntimeError(f"`ray start` has ended: {self._said} says why")
        return True

    def _up(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether Ray says that it has started."""
        return self._runs(process) and "Ray runtime started" in self._said.read_text()

    def _environment(self) -> dict[str, str] | None:
        """Return what this allocation's first node has written, None before and after."""
        try:
            content = json.loads(self._meeting.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        environment: dict[str, str] = content["environment"]
        return environment if content["allocation"] == self.allocation else None

    @contextmanager
    def _started(
        self, given: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Have Ray run on this node."""
        inherited = dict(os.environ)
        if not inherited.get("CUDA_VISIBLE_DEVICES"):
            # Empty where no GPU was asked for: Ray would then declare no stand-in either.
            inherited.pop("CUDA_VISIBLE_DEVICES", None)
        with cleaned_up() as (token, scratch), open(self._said, "wb") as file:
            yield subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *given),
                    *("--disable-usage-stats", f"--temp-dir={scratch}/ray"),
                    f"--dashboard-agent-listen-port={_free_port()}",
                    *self.arguments,
                ],
                env={**inherited, **environment, janitor.TOKEN: token, "TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _alive() -> int:
    """Return how many nodes the cluster that the environment names has."""
    found = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import ray; ray.init('auto', log_to_driver=False);"
            "print('alive', sum(node['Alive'] for node in ray.nodes()))",
        ],
        capture_output=True,
        text=True,
    )
    return int(found.stdout.split()[-1]) if found.returncode == 0 else 0


def _wait(there: Callable[[], bool], what: str, where: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up in {_PATIENCE:.0f} s: see {where}")
        time.sleep(_POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])
