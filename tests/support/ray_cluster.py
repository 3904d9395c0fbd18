"""A Ray cluster on this machine that takes jobs."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import wait_for

from r1reward.machine import janitor


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def ray_cluster(folder: Path, *, cpus: int, gpus: int, store_bytes: int) -> Iterator[str]:
    """Start a cluster; yield the address of its dashboard, and end all of it.

    Args:
        folder: for what the cluster prints.
        cpus: that it says it has.
        gpus: that it says it has.
        store_bytes: of its object store.
    """
    token, scratch, port = "test-cluster", Path(f"/tmp/r1-cluster-{os.getpid()}"), free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--temp-dir={scratch}", "--disable-usage-stats"),
        *(f"--object-store-memory={store_bytes}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"),
        *(f"--port={free_port()}", f"--dashboard-port={port}"),
        f"--dashboard-agent-listen-port={free_port()}",  # its default serves one cluster a machine
    ]
    said = folder / "cluster.txt"
    with open(said, "w") as console:
        subprocess.Popen(
            command,
            env={**os.environ, janitor.TOKEN: token},
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "Ray runtime started" in said.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        janitor.clean(token, scratch, set())
