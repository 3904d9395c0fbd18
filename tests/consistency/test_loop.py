"""The check inside the training loop: through the reward manager, preflight and real runs."""

import asyncio
import logging
import re

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from support.chat_server import ChatServer
from support.training import MODEL
from support.trajectories import GOOD, proto

from r1reward.config.compose import compose_config
from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.core.errors import ConfigError
from r1reward.launch.preflight import preflight
from r1reward.plugin.reward_manager import R1RewardManager, consistency_info

# --- one sample: what the reward manager keeps


def test_what_is_kept_of_a_judgement_has_one_form():
    asked = Agreement(
        True, call=CheckCall(0.75, 2, prompt_tokens=300, completion_tokens=9, cost=0.5)
    )
    failed = Agreement(None, failure="timeout", call=CheckCall(20.0, retries=3))
    cached = Agreement(False, call=CheckCall(0.0, cached=True))
    names = ("checked", "consistency_failure", "consistency_failure_kind")
    amounts = (
        "consistency_seconds",
        "consistency_retries",
        "consistency_cached",
        "consistency_tokens",
        "consistency_cost",
    )
    expected = {
        asked: (1.0, 0.0, "", 0.75, 2.0, 0.0, 309.0, 0.5),
        failed: (1.0, 1.0, "timeout", 20.0, 3.0, 0.0, 0.0, 0.0),
        cached: (1.0, 0.0, "", 0.0, 0.0, 1.0, 0.0, 0.0),
        Agreement(False): (1.0, 0.0, "", 0.0, 0.0, 0.0, 0.0, 0.0),  # by rule
        Agreement(None): (0.0, 0.0, "", 0.0, 0.0, 0.0, 0.0, 0.0),  # switched off
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
        def __init__(self):
            self.both = asyncio.Barrier(2)

        async def check(self, cases):
            await self.both.wait()  # in turn, the first one would wait for ever
            await asyncio.sleep(0.2)
            return [Agreement(True)]

    manager = R1RewardManager(config=config, tokenizer=tokenizer)

    async def both():
        manager.check = Slow()
        samples = [proto(tokenizer, text, 2) for text in (GOOD, GOOD, "no answer")]
        return await asyncio.gather(*map(manager.run_single, samples))

    first, second, last = (result["reward_extra_info"] for result in asyncio.run(both()))
    assert min(first["consistency_wait"], second["consistency_wait"]) >= 0.2
    assert last["consistency_wait"] < first["consistency_wait"], "it had nothing to check"
    assert second["arrived"] < first["arrived"] + first["consistency_wait"]


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
    with pytest.raises(ConfigError, match=re.escape(f"{gone.url}: cannot connect to 127.0.0.1")):
        check("consistency=openai", f"consistency.base_url={gone.url}", "consistency.cache=null")


def test_an_address_that_refuses_the_key_is_said_before_the_run(check, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer() as server:
        server.models_status = 401
        asked = ("consistency=openai", f"consistency.base_url={server.url}")
        with pytest.raises(ConfigError, match=r"HTTP 401.*set OPENAI_API_KEY"):
            check(*asked, "consistency.cache=null")


def test_a_judge_that_verl_hosts_needs_the_run():
    composed = compose_config(["consistency=hosted", "consistency.cache=null"])
    check = instantiate(composed.consistency)
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
