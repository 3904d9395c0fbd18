"""The Makefile: every target is real and explained, and expands to the command it promises."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from r1reward.cli.catalog import find
from r1reward.config.compose import REPO

OURS = (
    *(
        "EXP",
        "CLUSTER",
        "MODEL",
        "DATA",
        "JUDGE",
        "CONSISTENCY",
        "DEBUG",
        "RESUME",
        "ARGS",
        "RUN",
        "FILE",
        "SWEEP",
    ),
    *("LAUNCHER", "RETRY", "DIR"),
    *("BENCH", "PROTOCOL", "MODEL_PATH", "RUNS", "OUT", "SOURCE", "RECIPE"),
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments):
    """What ``make`` prints, undisturbed by a ``make`` that runs this test."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS")) and name not in OURS
    }
    done = subprocess.run(["make", *arguments], cwd=REPO, env=env, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.stdout


def phony():
    """Return ``{target: has a rule}`` from make's own database: a recipe, or something to make."""
    found = {}
    for block in make("-pRrq", "--warn-undefined-variables", "help").split("\n\n"):
        if "Phony target" in block:
            line = next(line for line in block.splitlines() if not line.startswith("#"))
            name, _, needs = line.partition(":")
            found[name] = bool(needs.strip()) or "recipe to execute" in block
    return found


def expanded(target, *variables):
    """The last command of ``target``, as a list; those before it prepare the environment."""
    command = make("-n", target, *variables).replace("\\\n", "").rstrip().splitlines()[-1]
    return shlex.split(command)


def test_every_phony_target_has_a_rule() -> None:
    targets = phony()
    assert "train" in targets
    assert [name for name, has_rule in targets.items() if not has_rule] == []


def test_plain_make_lists_every_target_with_an_explanation() -> None:
    help_text = make()
    assert help_text == make("help")
    plain = re.sub(r"\x1b\[\d+m", "", help_text)
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", plain.partition("\n\n")[0], re.MULTILINE))
    assert set(listed) == {name for name, has_rule in phony().items() if has_rule}
    assert all(len(text) > 5 for text in listed.values())


def test_the_targets_that_are_no_files_are_all_phony() -> None:
    rules = re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert len(rules) > 10
    assert set(rules) <= set(phony())


def test_train_passes_every_choice_on() -> None:
    choices = ("EXP=x", "CLUSTER=cpu", "MODEL=tiny", "DATA=photos", "RESUME=auto", "ARGS=a=b")
    assert expanded("train", *choices) == [
        *(".venv/bin/r1reward", "train", "experiment=x", "cluster=cpu"),
        *("model=tiny", "data=photos", 'resume="auto"', "a=b"),
    ]


def test_train_leaves_what_is_not_chosen_to_the_configuration() -> None:
    command = [".venv/bin/r1reward", "train", "experiment=stablereinforce"]
    assert expanded("train") == command
    assert expanded("train", "CONSISTENCY=none", "DEBUG=fast", "ARGS=a=b +c.d='x y'") == [
        *command,
        *("consistency=none", "debug=fast", "a=b", "+c.d=x y"),
    ]


@pytest.mark.parametrize(
    ("target", "variables", "command"),
    [
        ("sft", [], "sft experiment=cold_start"),
        (
            "sft",
            ["EXP=x", "CLUSTER=gpu8", "MODEL=m", "DATA=d", "RESUME=auto", "ARGS=a=b"],
            "sft experiment=x cluster=gpu8 model=m data=d 'resume=\"auto\"' a=b",
        ),
        ("recipe", [], "recipe recipe=quickstart"),
        ("recipe", ["RECIPE=paper", "ARGS=--dry-run"], "recipe recipe=paper --dry-run"),
        ("ablation", [], "ablation-page"),
        (
            "plan",
            ["CLUSTER=gpu8", "ARGS=hardware=h200"],
            "plan experiment=stablereinforce cluster=gpu8 hardware=h200",
        ),
        ("report", ["RUN=runs/x 1"], "report 'runs/x 1'"),
        ("report", [], "report"),  # which says what is missing
        ("show", ["EXP=grpo"], "show experiment=grpo"),
        ("sweep", [], "sweep smoke"),
        (
            "sweep",
            ["SWEEP=lr_kl", "EXP=grpo", "LAUNCHER=ray_job", "RETRY=failed", "ARGS=a=1,2"],
            "sweep lr_kl experiment=grpo a=1,2 hydra/launcher=ray_job sweep.retry=failed",
        ),
        ("sweep", ["SWEEP=", "ARGS=a=1,2"], "sweep a=1,2"),
        ("sweep-summary", [], "sweep-summary runs/sweeps/smoke"),
        ("sweep-summary", ["DIR=a/b c"], "sweep-summary 'a/b c'"),
        ("export", ["RUN=runs/x/1"], "export runs/x/1"),
        ("wandb-sync", [], "wandb-sync"),
        ("wandb-sync", ["RUN=runs/x/1"], "wandb-sync runs/x/1"),
        ("gallery", ["RUN=runs/x/1"], "gallery runs/x/1"),
        ("golden", [], "golden"),
        ("validate", [], "validate data=photos"),
        ("validate", ["DATA=r1_reward_rl"], "validate data=r1_reward_rl"),
        ("validate", ["FILE=a b.jsonl"], """validate 'files=["a b.jsonl"]'"""),
        ("eval", [], "eval benchmark=photos protocol=default"),
        (
            "eval",
            ["BENCH=b", "JUDGE=vllm", "PROTOCOL=official", "MODEL_PATH=é, =m", "ARGS=a=b"],
            """eval benchmark=b protocol=official judge=vllm 'judge.model="é, =m"' a=b""",
        ),
        ("compare", ["RUNS=a b"], "compare a b"),
        ("data", ["BENCH=b"], "fetch benchmark=b"),
        (
            "convert",
            ["SOURCE=plain", "OUT=o p", "ARGS=a=b"],
            """convert source=plain 'out="o p"' a=b""",
        ),
        (
            "annotate",
            ["FILE=f", "OUT=o", "JUDGE=openai"],
            """annotate 'input="f"' 'out="o"' judge=openai""",
        ),
        ("mix", ["ARGS=inputs=[a,b] out=c"], "mix inputs=[a,b] out=c"),
        ("bench-compare", ["FILE=a.json", "ARGS=--keep x"], "bench-compare a.json --keep x"),
        ("doctor", [], "doctor"),
    ],
)
def test_a_target_is_one_command(target, variables, command) -> None:
    name, *given = shlex.split(command)
    assert expanded(target, *variables) == [".venv/bin/r1reward", name, *given]
    assert find(name) is not None


def test_the_tests_are_those_that_need_neither_gpu_nor_patience() -> None:
    assert expanded("test") == [".venv/bin/python", "-m", "pytest", "-m", "not gpu and not slow"]
