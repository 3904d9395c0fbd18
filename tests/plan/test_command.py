"""The command that plans."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.planning import GPU8, cold_start, composed

from r1reward.config import cluster
from r1reward.config.compose import CONF, REPO
from r1reward.core.errors import ConfigError
from r1reward.plan import gpu_of, gpus, hardware
from r1reward.plan.settings import split_overrides
from r1reward.tools import plan as command
from r1reward.tools.plan import _rows, main


def test_overrides_are_the_plans_or_trainings() -> None:
    given = ["network_gb_s=25", "cluster=gpu8", "hardware=h200", "work.images=2", "data.steps=3"]
    assert split_overrides(given) == (
        ["network_gb_s=25", "work.images=2"],
        ["cluster=gpu8", "hardware=h200", "data.steps=3"],
    )


def test_no_key_of_the_plan_is_one_of_training() -> None:
    plans = set(yaml.safe_load((CONF / "plan.yaml").read_text()))
    assert not plans & set(composed("cluster=gpu8"))


@pytest.mark.parametrize("name", ["gpu1", "gpu2", "gpu8"])
def test_hardware_of_a_cluster_is_known(name) -> None:
    assert gpu_of(composed(f"cluster={name}")).name in gpus()
    assert gpu_of(composed(f"cluster={name}", "hardware=l40s")).name == "l40s"
    assert gpu_of(cold_start(8)).name == "h100"  # as cluster=gpu8 says


def test_a_cluster_of_any_gpus_is_on_those_that_are_here(monkeypatch) -> None:
    monkeypatch.setattr(hardware, "ask", lambda field: ("NVIDIA H200",))
    assert gpu_of(composed("cluster=gpu", "gpus=3")).name == "h200"
    monkeypatch.setattr(hardware, "ask", lambda field: ())
    with pytest.raises(ConfigError, match="hardware=h100"):
        gpu_of(composed("cluster=gpu", "gpus=3"))


def test_a_machine_that_is_not_named_is_this_one(invoke, monkeypatch) -> None:
    monkeypatch.setattr(command, "ask", lambda field: 4 * ("NVIDIA L40S",))
    monkeypatch.setattr(cluster, "count_gpus", lambda: 4)
    _, printed, _ = invoke(main, *GPU8[1:])
    assert "4 x l40s" in printed
    _, printed, _ = invoke(main, *GPU8[1:], "hardware=h100")
    assert "4 x h100" in printed
    _, printed, _ = invoke(main, *GPU8)
    assert "8 x h100" in printed


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
        "from r1reward.machine.console import console_on;"
        "show(console_on(sys.stderr), ['cluster=gpu8']);"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
