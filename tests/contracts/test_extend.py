"""The examples of docs/extend.md, added to a copy of the repository: the contracts find them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from r1reward.config.compose import REPO

BLOCK = re.compile(r"^`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXT = (REPO / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = dict(BLOCK.findall(TEXT))
EXAMPLES = {Path(path).stem: Path(path).parent for path in FILES if path.endswith(".yaml")}
COPIED = ("r1reward", "eval", "conf", "tools", "recipes", "hydra_plugins", "tests")


def test_every_contract_has_an_example_of_one_or_two_small_files():
    contracts = {path.name for path in (REPO / "tests" / "contracts").glob("test_*.py")}
    assert set(re.findall(r"`tests/contracts/(\w+\.py)`", TEXT)) == contracts - {"test_extend.py"}
    assert len(EXAMPLES) == len(contracts) - 1
    code = [Path(path).stem for path in FILES if path.endswith(".py")]
    assert sorted(code) == sorted(set(EXAMPLES) - {"my_vl"}), "a model has no code"
    assert all(len(content.splitlines()) <= 30 for content in FILES.values())


@pytest.mark.slow
def test_the_contracts_find_every_example(tmp_path):
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    shutil.copytree(REPO / "docs", tmp_path / "docs")
    for path, content in FILES.items():
        assert not (tmp_path / path).exists(), path
        (tmp_path / path).write_text(content, encoding="utf-8")
    chosen = " or ".join([*EXAMPLES, "has_an_option", "every_module"])
    code = [path for path in FILES if path.endswith(".py")]
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, *code], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "tests/contracts", "-k", chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in EXAMPLES:
        passed = re.findall(rf"^tests/contracts/\S*\[{name}\] PASSED", done.stdout, re.MULTILINE)
        assert len(passed) >= 2, f"{name}: {passed}"
