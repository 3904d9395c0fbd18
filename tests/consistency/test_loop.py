"""The check inside the training loop: through the reward manager, preflight and real runs."""

import asyncio
import json
import logging
import re
import subprocess
from collections import Counter

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from support.chat_server import ChatServer, conclusion
from support.training import MODEL, command, only_run
from support.trajectories import GOOD, proto

from r1reward.config.compose import REPO, compose_config
from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.core.errors import ConfigError
from r1reward.launch.preflight import preflight
from r1reward.plugin.reward_manager import R1RewardManager, consistency_info

# --- one sample: what the reward manager keeps


def test_what_is_kept_of_a_judgement_has_one_form():
    asked = Agreement(True, call=CheckCall(0.75, retries=2, prompt_tokens=300, completion_tokens=9))
    failed = Agreement(None, failure="timeout", call=CheckCall(20.0, retries=3))
    cached = Agreement(False, call=CheckCall(0.0, cached=True))
    names = ("checked", "consistency_failure", "consistency_failure_kind")
    amounts = (
        "consistency_seconds",
        "consistency_retries",
        "consistency_cached",
        "consistency_tokens",
    )
    expected = {
        asked: (1.0, 0.0, "", 0.75, 2.0, 0.0, 309.0),
        failed: (1.0, 1.0, "timeout", 20.0, 3.0, 0.0, 0.0),
        cached: (1.0, 0.0, "", 0.0, 0.0, 1.0, 0.0),
        Agreement(False): (1.0, 0.0, "", 0.0, 0.0, 0.0, 0.0),  # by rule
        Agreement(None): (0.0, 0.0, "", 0.0, 0.0, 0.0, 0.0),  # switched off
    }
    for agreement, values in expected.items():
        assert consistency_info(agreement) == dict(zip((*names, *amounts), values, strict=True))


@pytest.mark.parametrize(
    ("overrides", "reasoning", "expected"),
    [  # consistency, final and checked, by the table of the reward
        (["experiment=stablereinforce"], "Response 2 is better.", (1.0, 2.0, 1.0)),
        (["experiment=stablereinforce"], "Response 1 is better.", (0.0, 1.5, 1.0)),
        (["reward.function.consistency=released"], "Response 2 is better.", (1.0, 2.0, 1.0)),
        (["reward.function.consistency=released"], "Response 1 is better.", (-1.0, 1.0, 1.0)),
        (["experiment=no_consistency"], "Response 2 is better.", (0.0, 1.5, 0.0)),
        (["experiment=no_consistency"], "Response 1 is better.", (0.0, 1.5, 0.0)),
    ],
)
def test_the_configuration_reaches_the_reward(
    overrides,
    reasoning,
    expected,
    tokenizer,
):
    manager = R1RewardManager(compose_config(["cluster=cpu", *overrides]), tokenizer)
    sample = proto(tokenizer, f"<think>{reasoning}</think><answer>2</answer>", 2)
    info = asyncio.run(manager.run_single(sample))["reward_extra_info"]
    assert (info["consistency"], info["final"], info["checked"]) == expected


class Broken:
    async def check(self, cases):
        raise ZeroDivisionError("a mistake in the check")


class Short:
    async def check(self, cases):
        return []


@pytest.mark.parametrize("check", [Broken(), Short()])
def test_a_judge_that_raises_is_a_counted_failure_and_logged_once(
    check,
    config,
    tokenizer,
    caplog,
):
    manager = R1RewardManager(config=config, tokenizer=tokenizer)
    manager.check = check
    with caplog.at_level(logging.ERROR):
        found = [asyncio.run(manager.run_single(proto(tokenizer, GOOD, 2))) for _ in range(3)]
    for result in found:
        info = result["reward_extra_info"]
        assert result["reward_score"] == 1.5  # 1 * (1 + 0.5 * 0) + 0.5
        assert (info["checked"], info["consistency_failure_kind"]) == (1.0, "error")
    (record,) = caplog.records
    assert record.exc_info is not None  # with its trace


def test_waiting_for_the_judge_and_arriving_are_timed(config, tokenizer):
    class Slow:
        async def check(self, cases):
            await asyncio.sleep(0.2)
            return [Agreement(True)]

    manager = R1RewardManager(config=config, tokenizer=tokenizer)
    manager.check = Slow()

    async def both():
        samples = [proto(tokenizer, text, 2) for text in (GOOD, GOOD, "no answer")]
        return await asyncio.gather(*map(manager.run_single, samples))

    first, second, last = (result["reward_extra_info"] for result in asyncio.run(both()))
    assert 0.2 <= first["consistency_wait"] < 1.0
    assert last["consistency_wait"] < 0.1
    assert abs(second["arrived"] - first["arrived"]) < 0.15  # together, not in turn


# --- preflight: what the reward processes would trip over is said before they start


@pytest.fixture
def check():
    """Run preflight, with so many GPUs declared, on the shipped model and data."""

    def run(*overrides):
        preflight(compose_config(["cluster=gpu1", "ray_kwargs.ray_init.num_gpus=2", *overrides]))

    return run


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward.function.consistency=maybe"], "reward.function.consistency=maybe: choose paper"),
        (["reward.function.format_weight=-1"], "reward.function.format_weight=-1"),
        (
            ["run.consistency_guard.max_failure_rate=20"],
            "run.consistency_guard.max_failure_rate=20",
        ),
        (["run.consistency_guard.window=0"], "run.consistency_guard.window=0"),
        (["run.consistency_guard.window=null"], "run.consistency_guard.window=None"),
        (["consistency=openai", "consistency.concurrency=0"], "consistency.concurrency=0"),
        (
            ["consistency=rule", "reward.reward_model.enable=true"],
            "verl serves consistency=hosted and no",
        ),
        (
            ["consistency=hosted", "reward.reward_model.enable=false"],
            "verl serves consistency=hosted and no",
        ),
        (
            ["consistency=hosted", "consistency.model=/no/such"],
            "consistency.model=/no/such: no config.json there",
        ),
        (
            ["consistency=hosted", f"consistency.model={MODEL}", "ray_kwargs.ray_init.num_gpus=1"],
            "training takes 1 GPUs (trainer.n_gpus_per_node) and the check 1",
        ),
        (
            ["consistency=hosted", "reward.reward_model.enable_resource_pool=false"],
            "reward.reward_model.enable_resource_pool must be true",
        ),
        (
            ["consistency=hosted", "reward.reward_model.rollout.free_cache_engine=true"],
            "reward.reward_model.rollout.free_cache_engine must be false",
        ),
    ],
)
def test_what_cannot_work_is_said_before_the_run(check, overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(*overrides)


@pytest.mark.parametrize("name", ["openai", "hosted", "none"])
def test_a_sound_check_passes(check, name, tmp_path):
    with ChatServer() as server:
        there = [f"consistency.base_url={server.url}"] if name == "openai" else []
        check(f"consistency={name}", f"run.dir={tmp_path}", *there)
        assert server.bodies == []
    assert not list(tmp_path.iterdir())  # nothing was opened


def test_somebody_must_answer_at_one_address(check):
    with ChatServer() as gone:
        pass
    with ChatServer() as server:
        check(
            "consistency=openai",
            f"consistency.base_url=[{gone.url},{server.url}]",
            "consistency.cache=null",
        )
    with pytest.raises(ConfigError, match=re.escape(f"nobody answers at {gone.url}. Start")):
        check("consistency=openai", f"consistency.base_url={gone.url}", "consistency.cache=null")


def test_a_judge_that_verl_hosts_needs_the_run():
    check = instantiate(
        compose_config(["consistency=hosted", "consistency.cache=null"]).consistency
    )
    with pytest.raises(ConfigError, match=r"within a training run alone.*consistency=openai"):
        asyncio.run(check.check([Case("Response 1 is better.", 1)]))


def test_the_manager_tells_the_hosted_judge_where_the_router_is(
    tokenizer,
    monkeypatch,
):
    monkeypatch.setenv("OPENAI_API_KEY", "somebody's")
    with ChatServer() as server:
        asked = compose_config(["cluster=cpu", "consistency=hosted", "consistency.cache=null"])
        OmegaConf.resolve(asked)
        manager = R1RewardManager(
            config=asked,
            tokenizer=tokenizer,
            reward_router_address=f"127.0.0.1:{server.port}",
            reward_model_tokenizer=tokenizer,
        )
        found = asyncio.run(manager.run_single(proto(tokenizer, GOOD, 2)))
        assert [body["model"] for body in server.bodies] == ["Qwen/Qwen2.5-VL-7B-Instruct"]
        assert "authorization" not in server.headers[0]  # the key is for others
    assert found["reward_score"] == 2.0
    assert found["reward_extra_info"]["consistency_tokens"] == 107


# --- real training runs, with a check over HTTP


LATENCY = 0.3  # seconds that the check takes for an answer


@pytest.fixture(scope="module")
def server():
    with ChatServer("errors") as server:
        yield server


def train(root, *overrides):
    options = (f"run.root={root}", "run.export=false", "data.save_every=-1")
    return subprocess.run(
        command(*options, *overrides), cwd=REPO, capture_output=True, text=True, timeout=840
    )


def asking(server):
    """Overrides: ask ``server``, and stop at two failures."""
    check = ("consistency=openai", f"consistency.base_url={server.url}", "consistency.request_s=2")
    return (*check, "consistency.deadline_s=3", "run.consistency_guard.window=8")


@pytest.fixture(scope="module")
def stopped(server, tmp_path_factory):
    """A run of two steps whose check is out of order from the beginning."""
    root = tmp_path_factory.mktemp("runs")
    return train(root, *asking(server)), root


@pytest.fixture(scope="module")
def resumed(server, stopped):
    """The same run, continued when the check is well again; responses come two at a time."""
    _, root = stopped
    server.reset()
    server.set("slow", seconds=LATENCY)
    two = "actor_rollout_ref.rollout.max_num_seqs=2"
    return train(root, *asking(server), two, "resume=auto"), only_run(root)


def rollouts(run, step):
    return [json.loads(line) for line in (run.root / "rollouts" / f"{step}.jsonl").open()]


def steps(run):
    return {row["step"]: row["metrics"] for row in run.rows("train")}


@pytest.mark.slow
def test_a_judge_that_fails_stops_training_with_a_checkpoint(stopped):
    done, root = stopped
    run = only_run(root)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = sum(row["consistency_failure"] for row in rollouts(run, 1))
    assert failed > 0.2 * 8
    message = " ".join(done.stdout.split())
    assert f"{failed:.0f} of the last {failed:.0f} agreements failed (100%): " in message
    assert "At most 20% of 8 may." in message
    assert f"continue with: resume={run.root}" in message
    assert run.latest_step() == 1
    assert not run.finished()


@pytest.mark.slow
def test_what_the_judge_failed_on_is_reported_and_not_learned_from(stopped):
    run = only_run(stopped[1])
    metrics, rows = steps(run)[1], rollouts(run, 1)
    assert len(rows) == 8
    kinds = Counter(row["consistency_failure_kind"] for row in rows if row["checked"])
    assert "" not in kinds
    assert metrics["consistency/failures"] == metrics["consistency/checked"] == kinds.total()
    for kind, count in kinds.items():
        assert metrics[f"consistency/failures/{kind}"] == count
    assert all(row["consistency"] == 0 for row in rows)
    assert not [name for name in metrics if name.startswith("actor/pg")]  # no update
    (validation,) = run.rows("validation")
    assert validation["n"] == 16
    assert validation["consistent"] == 0


@pytest.mark.slow
def test_it_resumes_with_a_judge_that_is_well(resumed):
    done, run = resumed
    assert done.returncode == 0, done.stdout + done.stderr
    starts = [row for row in run.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 1]
    assert list(steps(run)) == [1, 2]
    assert "actor/pg_loss" in steps(run)[2]
    assert run.finished()
    assert "check failures 0 check p95 0.3" in done.stdout  # the live line
    assert "check (2 steps)" in done.stdout  # the table at the end


@pytest.mark.slow
def test_the_step_counts_what_the_judge_said(resumed):
    _, run = resumed
    metrics, rows = steps(run)[2], rollouts(run, 2)
    checked = [row for row in rows if row["checked"]]
    asked = [row for row in checked if not row["consistency_cached"]]
    assert metrics["consistency/failures"] == 0
    assert (
        metrics["consistency/checked"]
        == len(checked)
        == len(asked) + metrics["consistency/cache_hits"]
    )
    assert metrics["consistency/calls"] == len(asked)
    assert metrics["consistency/tokens"] == 107 * len(asked)  # 100 and 7 each
    assert LATENCY <= metrics["consistency/latency_p50"] < LATENCY + 1
    for row in checked:
        reasoning, answer = row["output"].split("<answer>")
        agrees = conclusion(reasoning) == answer[0]
        assert row["consistency"] == float(agrees)
        assert row["final"] == row["acc"] * (1 + 0.5 * agrees) + 0.5 * row["format"]


@pytest.mark.slow
def test_judging_overlaps_with_generation(resumed, server):
    _, run = resumed
    metrics, rows = steps(run)[2], rollouts(run, 2)
    last = max(row["arrived"] for row in rows)
    ends = [
        row["arrived"] + row["consistency_wait"] for row in rows if row["consistency_seconds"] > 0
    ]
    assert min(ends) < last  # checked and done while a response was still written
    assert server.most > 1
    assert metrics["consistency/exposed_s"] == pytest.approx(max(0.0, max(ends) - last))
    share = metrics["consistency/exposed_s"] / metrics["timing_s/step"]
    assert metrics["consistency/exposed_share"] == pytest.approx(share)
    assert (
        metrics["consistency/exposed_s"] < LATENCY * len(ends) / 2
    )  # far from one after the other


@pytest.mark.slow
def test_wandb_shows_a_sample_of_the_checked_pairs(resumed):
    _, run = resumed
    tables = sorted(run.root.glob("wandb/offline-run-*/files/media/table/consistency/*.json"))
    assert len(tables) == 2
    for path, step in zip(tables, (1, 2), strict=True):
        table = json.loads(path.read_text())
        rows = {row["record_uid"]: row for row in rollouts(run, step)}
        assert len(table["data"]) == sum(row["checked"] for row in rows.values())
        for cells in table["data"]:
            pair = dict(zip(table["columns"], cells, strict=True))
            row = rows[pair["uid"]]
            assert pair["reasoning"] in row["output"]
            assert f"<answer>{pair['answer']}</answer>" in row["output"]
            assert pair["failure"] == row["consistency_failure_kind"]
            assert pair["consistent"] == (
                None if row["consistency_failure"] else row["consistency"] == 1
            )


@pytest.mark.slow
def test_verl_hosts_the_judge_itself(tmp_path):
    """The tiny model as its own check: it has never seen the question, and says something."""
    done = train(
        tmp_path,
        *(
            "consistency=hosted",
            f"consistency.model={MODEL}",
            "data.steps=1",
            "trainer.val_before_train=false",
        ),
        *("run.consistency_guard.max_failure_rate=null", "ray_kwargs.ray_init.num_gpus=2"),
        *("consistency.retries=0", "data.validate_every=-1"),
        "reward.reward_model.rollout.max_model_len=4096",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = only_run(tmp_path)
    metrics, rows = steps(run)[1], rollouts(run, 1)
    assert metrics["consistency/checked"] == metrics["consistency/calls"] == 8
    assert metrics["consistency/tokens"] > 8 * 100  # the question alone has more
    assert all(row["consistency_failure_kind"] in ("", "unparsed") for row in rows)
    assert metrics["consistency/failures"] == sum(row["consistency_failure"] for row in rows)
    assert all(row["consistency"] == 0 for row in rows if row["consistency_failure"])
    assert "actor/pg_loss" in metrics
