"""The wheel: built once, installed away from the checkout, and used from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.training import ENVIRONMENT, SMALL, only_run

from r1reward.cli.catalog import catalog
from r1reward.config.compose import REPO

SOURCE = ("LICENSE", "README.md", "pyproject.toml", "r1reward", "hydra_plugins")
LINKED = ("conf", "eval", "recipes", "tools")  # from r1reward to the top of the repository
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
OFFLINE = ("--no-deps", "--no-index")
COMMANDS = [command.name for group in catalog().values() for command in group]
HEAVY = ["torch", "verl", "ray", "vllm", "transformers", "hydra", "numpy"]


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """What is committed of the repository, as far as a build reads it."""
    root = tmp_path_factory.mktemp("source")
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in (*SOURCE, *LINKED):
        copy = shutil.copyfile if (REPO / name).is_file() else shutil.copytree
        more = {"symlinks": True, "ignore": leave_out} if copy is shutil.copytree else {}
        copy(REPO / name, root / name, **more)
    return root


def build(what: Path, folder: Path) -> Path:
    """Return the wheel of a folder or of a source distribution."""
    command = [*PIP, "wheel", *OFFLINE, "--no-build-isolation", f"--wheel-dir={folder}", str(what)]
    subprocess.run(command, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def program(wheel, tmp_path_factory) -> Path:
    """``r1reward`` in an environment that has the packages of this one, but not the checkout."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = str(home / "bin" / "python")
    subprocess.run([*PIP, "--python", python, "install", *OFFLINE, str(wheel)], check=True)
    [packages] = home.glob("lib/python*/site-packages")
    # A path in a .pth file is only searched: the .pth files there, of the checkout, are not read.
    paths = dict.fromkeys(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
    (packages / "here.pth").write_text("\n".join(paths) + "\n")
    return home / "bin" / "r1reward"


@pytest.fixture
def run(program, tmp_path):
    """Run a program of that environment in an empty folder."""
    env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    env |= {"COLUMNS": "200"}

    def command(*words, name="r1reward", status=0, **more):
        done = subprocess.run(
            [str(program.with_name(name)), *words],
            cwd=tmp_path, env=env | more, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return command


def files_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def test_the_wheel_holds_each_file_once_and_nothing_beside_the_package(wheel) -> None:
    files = files_of(wheel)
    assert len(files) == len(set(files))
    tops = {name.split("/")[0] for name in files}
    assert {top.partition("-")[0] for top in tops} == {"r1reward", "hydra_plugins"}
    assert not [name for name in files if "__pycache__" in name or "/tests/" in name]
    for folder, pattern in {
        "conf": "**/*.yaml", "eval": "**/*.py", "tools": "**/*.py", "recipes": "**/*.py",
        "recipes/photos": "images/*", "recipes/tiny": "checkpoint/*", "recipes/ablation": "*.json",
        "eval/templates": "*", "r1reward/templates": "*", "r1reward/plan": "*.yaml",
    }.items():  # fmt: skip
        there = [path.relative_to(REPO).as_posix() for path in (REPO / folder).glob(pattern)]
        assert there
        assert {f"r1reward/{name.removeprefix('r1reward/')}" for name in there} <= set(files)
    assert (
        len([name for name in files if name.startswith("r1reward/") and name.count("/") == 1]) <= 6
    )


def test_a_source_distribution_makes_the_same_wheel(source, wheel, tmp_path) -> None:
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")
    assert set(files_of(build(archive, tmp_path))) == set(files_of(wheel))


def test_the_package_is_imported_without_the_checkout_and_without_anything_heavy(run) -> None:
    code = (
        "import sys, r1reward, importlib.util as found; print(r1reward.__file__);"
        f"print([name for name in {HEAVY} if name in sys.modules]);"
        "print([name for name in ('eval', 'tools', 'recipes', 'conf')"
        " if found.find_spec(name)]);"
        f"print({str(REPO)!r} in sys.path)"
    )
    began = time.monotonic()
    file, heavy, tops, checkout = run("-c", code, name="python").splitlines()
    print(f"import r1reward: {time.monotonic() - began:.2f} s, with the start of Python")
    assert "site-packages" in file
    assert not file.startswith(str(REPO))
    assert (heavy, tops, checkout) == ("[]", "[]", "False")


def test_every_command_has_help(run) -> None:
    printed = run()
    assert [name for name in COMMANDS if f"\n  {name} " not in printed] == []
    with ThreadPoolExecutor(2) as pool:
        texts = list(pool.map(lambda name: run(name, "--help"), COMMANDS))
    assert min(map(len, texts)) > 40


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "experiment=grpo", "cluster=cpu"], "adv_estimator: grpo"),
        (["validate", "data=photos"], "rows"),
        (["plan", "cluster=gpu8", "model=qwen2_5_vl_7b", "data=r1_reward_rl"], "fits"),
        (["recipe", "recipe=quickstart", "--dry-run"], "stable_reinforce: r1reward train"),
        (["consistency-check", "consistency=rule"], "118"),
        (["doctor"], "(required: ==0.9.1)"),
        (["train", "--cfg", "job", "run.seed=7"], "seed: 7"),
    ],
)
def test_a_command_works_in_an_empty_folder(run, words, says) -> None:
    assert says in run(*words)


def test_an_evaluation_gives_a_score(run, tmp_path) -> None:
    run("eval", "judge=constant", "limit=4")
    [file] = tmp_path.glob("runs/eval/photos/*/results.json")
    found = json.loads(file.read_text())
    # Both orders, and always the same answer: right in exactly one of them.
    assert found["score"]["overall"]["items"] == 4
    assert found["score"]["overall"]["accuracy"]["value"] == 0.5
    assert found["command"] == "r1reward eval judge=constant limit=4"


@pytest.mark.parametrize("words", [["gallery"], ["bench-compare", "x.json", "--keep", "x"]])
def test_what_writes_into_the_repository_says_so(run, words, tmp_path) -> None:
    run(*words, status=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_training_runs_to_its_end(run, tmp_path) -> None:
    extra = {key: text for key, text in ENVIRONMENT.items() if os.environ.get(key) != text}
    printed = run("train", *SMALL, **extra)
    done = only_run(tmp_path / "runs")
    assert done.finished()
    assert (done.root / "model" / "config.json").is_file()
    assert str(done.report) in printed
