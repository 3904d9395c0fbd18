"""The command that plans."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.planning import GPU8, SETTINGS, composed

from r1reward.config.compose import CONF, REPO
from r1reward.plan import gpus
from r1reward.plan.settings import split_overrides
from r1reward.tools.plan import _rows, main


def test_overrides_are_the_plans_or_trainings() -> None:
    given = ["hardware=h200", "cluster=gpu8", "work.images=2", "data.steps=3"]
    assert split_overrides(given) == (
        ["hardware=h200", "work.images=2"],
        ["cluster=gpu8", "data.steps=3"],
    )


def test_no_key_of_the_plan_is_one_of_training() -> None:
    plans = set(yaml.safe_load((CONF / "plan.yaml").read_text()))
    assert not plans & set(composed("cluster=gpu8"))


def test_hardware_of_a_cluster_is_known() -> None:
    settings = SETTINGS
    assert set(settings.hardware_of.values()) <= set(gpus())
    clusters = {path.stem for path in (CONF / "cluster").glob("gpu*.yaml")}
    assert set(settings.hardware_of) == clusters


def test_the_command_says_that_it_does_not_fit_and_what_to_change(invoke) -> None:
    status, printed, _ = invoke(main, "cluster=gpu1", *GPU8[1:])
    assert status == 1
    assert "does not fit: at most" in printed
    assert "+-15%" in printed
    advice = re.search(r"a machine\): (.*)", printed)
    assert advice
    status, printed, _ = invoke(main, "cluster=gpu1", *GPU8[1:], *shlex.split(advice[1]))
    assert status == 0
    assert "\nfits: at most" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cluster=cpu",), "only GPU clusters are planned"),
        (("cluster=gpu8", "hardware=tpu"), "hardware=tpu: not known"),
        (("cluster=gpu8", "work.no_such=1"), "no_such"),
        (("cluster=gpu8", "data.no_such=1"), "no_such"),
    ],
)
def test_unusable_input_is_one_message(invoke, arguments, said) -> None:
    status, _, told = invoke(main, *arguments)
    assert status == 2
    assert said in told


def test_rows_are_counted_where_there_are_files(tmp_path: Path) -> None:
    assert _rows(str(tmp_path / "none.jsonl")) is None
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    assert _rows(str(tmp_path / "a.jsonl")) == 2
    assert _rows([str(tmp_path), str(tmp_path / "a.jsonl")]) == 4


def test_planning_imports_nothing_heavy() -> None:
    code = (
        "import sys; from r1reward.tools.plan import show;"
        "from r1reward.run.progress import console_on;"
        "show(console_on(sys.stderr), ['cluster=gpu8']);"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
