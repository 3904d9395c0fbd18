"""Scripts that run in a process of their own, with our plug-in or with verl as it comes."""

import os
import subprocess
import sys
from pathlib import Path

# Counts torch's operations: ``with Counted(): ...`` and then ``Counted.calls``.
COUNTED = """
from torch.utils._python_dispatch import TorchDispatchMode
class Counted(TorchDispatchMode):
    calls = 0
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        Counted.calls += 1
        return function(*args, **(kwargs or {}))
"""


def lines(script: str, plugins: str, *arguments: Path | str) -> list[str]:
    """Return what a script prints; ``plugins`` is r1reward, or none."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "VERL_USE_EXTERNAL_PLUGINS": plugins},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
