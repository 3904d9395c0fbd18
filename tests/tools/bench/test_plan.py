"""Plan beside run: moments, lengths and peaks by hand; the plan for what occurred."""

import threading

import pytest
from support.waiting import wait_for

from r1reward.consistency.base import Agreement
from r1reward.core.errors import ConfigError
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.machine.gpus import ask
from r1reward.plan.hardware import GIB, hardware_here
from r1reward.tools.bench.plan import (
    Coin,
    Row,
    Sample,
    lengths,
    peaks,
    plan_of,
    rows_of,
    table,
    watched,
    windows,
)

TIMES = {"gen": 10, "old_log_prob": 4, "ref": 3, "adv": 1, "update_actor": 20, "update_weights": 2}


def row(end=100.0, **more):
    metrics = {f"timing_s/{name}": seconds for name, seconds in TIMES.items()}
    return {"time": end, "step": 2, "metrics": metrics | more}


def test_phases_end_where_the_next_one_begins_the_last_with_the_step() -> None:
    assert windows(row()) == {
        "update_weights": (98, 100),
        "update_actor": (78, 98),
        "adv": (77, 78),
        "ref": (74, 77),
        "old_log_prob": (70, 74),
        "gen": (60, 70),
    }


def test_the_most_of_any_gpu_away_from_the_edges_of_a_phase() -> None:
    seen = [(60.5, 9), (62, 5), (62, 6), (69.5, 8), (72, 3), (79, 7), (90, 4), (97, 8), (99, 1)]
    found = peaks([Sample(*one) for one in seen], [row()])
    # gen from 61 to 69, old log-probs 70.4 to 73.6, update 80 to 96, weight sync 98.25 to 99.75
    assert found == {"generation": 6, "old log-probs": 3, "update": 4, "weight sync": 1}


def test_lengths_are_means_over_the_steps() -> None:
    rows = [
        row(**{"prompt_length/mean": 100.0 + n, "prompt_length/max": 130.0,
               "response_length/mean": 40.0, "response_length/max": 64.0 - 2 * n})
        for n in (0, 2)
    ]  # fmt: skip
    found = lengths(rows)
    assert found == {
        "prompt_mean": 101, "prompt_max": 130, "response_mean": 40, "response_max": 62
    }  # fmt: skip


def test_the_plan_is_for_the_lengths_that_occurred() -> None:
    overrides = ["cluster=gpu1", "model=tiny", "logging=local"]
    tokens = {"prompt_mean": 200, "prompt_max": 220, "response_mean": 40, "response_max": 60}
    short = plan_of(overrides, "h100", tokens)
    long = plan_of(overrides, "h100", tokens | {"response_mean": 60, "response_max": 90})
    assert short.seconds["generation"] < long.seconds["generation"]
    assert short.gpu.name == "h100"


def test_images_that_were_smaller_than_planned_are_said() -> None:
    tokens = {"prompt_mean": 12, "prompt_max": 20, "response_mean": 40, "response_max": 60}
    with pytest.raises(ConfigError, match=r"raise policy\.min_pixels"):
        plan_of(["cluster=gpu1", "model=tiny"], "h100", tokens)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("policy.max_pixels=null", "max_pixels"),
        ("actor_rollout_ref.model.lora_rank=8", "lora_rank"),
    ],
)
def test_what_cannot_be_planned_is_said_before_it_runs(override, said) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_of(["cluster=gpu1", "model=tiny", override], "h100")


def test_a_gpu_that_does_not_exist_is_said_before_it_runs() -> None:
    with pytest.raises(ConfigError, match="hardware=foo"):
        plan_of(["cluster=gpu1", "model=tiny"], "foo")


def test_planned_and_measured_stand_beside_each_other() -> None:
    tokens = {"prompt_mean": 200, "prompt_max": 220, "response_mean": 64, "response_max": 64}
    plan = plan_of(["cluster=gpu1", "model=tiny"], "h200", tokens)
    seconds = {name: 2.0 for name in (*plan.seconds, "step")}
    rows = rows_of(plan, {"generation": 100 * GIB, "update": 4 * GIB}, seconds)
    assert [one.name for one in rows] == [
        "generation", "old log-probs", "reference", "update", "weight sync", "step"
    ]  # fmt: skip
    step = rows[-1]
    assert step.seen == 100 * GIB
    assert step.seconds == pytest.approx(sum(plan.seconds.values()))
    update = max(sum(plan.bytes[name].values()) for name in ("update", "optimizer step"))
    assert rows[3].planned == update
    assert rows[1].seen is None  # too short to tell


def test_how_far_off_is_a_share_of_what_was_measured() -> None:
    found = Row("step", planned=3 * GIB, seen=4 * GIB, seconds=3.0, measured=2.0)
    assert found.off == (-0.25, 0.5)
    cells = [next(iter(column.cells)) for column in table([found], "here").columns]
    assert cells == ["step", "3.0", "4.0", "-25%", "3.00", "2.00", "+50%"]


@pytest.mark.parametrize(
    ("name", "key"), [("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA H200", "h200")]
)
def test_the_gpu_of_this_machine_is_found_by_its_name(name, key) -> None:
    assert hardware_here([name, name]) == key


@pytest.mark.parametrize("names", [[], ["NVIDIA A100-SXM4-80GB"]])
def test_a_gpu_that_the_plan_cannot_name_has_to_be_named(names) -> None:
    with pytest.raises(ConfigError):
        hardware_here(names)


def test_a_coin_rewards_whatever_the_answer() -> None:
    coin, verdict = Coin(0.5, 0.5, "paper"), parse_verdict("no answer at all")
    assert not isinstance(verdict, Verdict)
    found = {coin.score(verdict, 1, Agreement(consistent=None)).final for _ in range(50)}
    assert found == {0.0, 1.0}


def test_memory_is_read_until_the_block_ends(tmp_path, monkeypatch, request) -> None:
    command = tmp_path / "nvidia-smi"
    # the memory of GPU n is n; of those asked for, again and again
    command.write_text(
        "#!/bin/sh\n"
        "case $1 in\n"
        "--id=*) while true; do echo ${1#--id=} | tr , '\\n'; sleep 0.02; done;;\n"
        "*) for n in 3 4 5; do echo $n, GPU-$n, $n; done;;\n"
        "esac\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    request.addfinalizer(ask.cache_clear)
    ask.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")  # another program has the fourth
    threads = threading.enumerate()
    with watched(0.02) as samples:
        wait_for(lambda: len(samples) >= 4)
    assert threading.enumerate() == threads  # nobody reads on
    assert [one.bytes for one in samples[:2]] == [3 * 2**20, 5 * 2**20]
