"""Judges with weights on this machine: transformers and vLLM."""

import asyncio
import json
from dataclasses import replace

import pytest
from support.judge import GREEDY, answers, ask, build, items

from r1reward.config.compose import REPO
from r1reward.core.pair import Media
from r1reward.judge.base import Answer, JudgeError
from r1reward.judge.local import fingerprint
from r1reward.judge.protocol import Call


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_limits_on_pixels_are_part_of_what_is_shown(name) -> None:
    [item] = items(1)
    digests = {build(name, max_pixels=limit).digest(item) for limit in (None, 4000, 8000)}
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_a_model_that_is_not_there_is_named(name, tmp_path) -> None:
    with pytest.raises(JudgeError, match=r"no config\.json"):
        build(name, model=str(tmp_path))
    with pytest.raises(JudgeError, match="no such folder"):
        build(name, model=str(tmp_path / "nowhere"))


def test_the_identity_follows_the_weights(tmp_path) -> None:
    weights = bytearray(b"0" * 10_000_000)
    prints = set()
    for name, at, value in [("a", 0, b"0"), ("b", 0, b"1"), ("c", 9_999_999, b"1")]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(weights[:at] + value + weights[at + 1 :])
        prints.add(fingerprint(folder))
    assert len(prints) == 3
    (tmp_path / "a" / "README.md").write_text("words")
    assert fingerprint(tmp_path / "a") in prints


# --- transformers


@pytest.fixture(scope="module")
def tiny():
    return build("hf", batch_size=4)


def test_batches_do_not_mix_and_do_not_change_greedy_answers(tiny) -> None:
    calls = [call for item in items(4) for call in GREEDY.calls(item)]
    together = answers(tiny, calls)
    alone = [answers(tiny, [call])[0] for call in calls]
    assert together == alone
    assert len({reply[0].prompt_tokens for reply in together}) > 1
    for reply in together:
        assert 0 < reply[0].completion_tokens <= 64
        assert reply[0].finish_reason == "stop" or reply[0].completion_tokens == 64


def test_an_image_that_does_not_open_spoils_no_other_answer(tiny) -> None:
    good, bad = items(2)
    bad = replace(bad, media=(Media("image", "manifest.jsonl"),))
    replies = answers(tiny, [Call(good, 1), Call(bad, 1)])
    assert isinstance(replies[0][0], Answer)
    assert replies[1][0].kind == "media"
    assert "manifest.jsonl" in replies[1][0].detail


def test_it_looks_at_the_pixels() -> None:
    """The same pairs with the photos exchanged: a blind judge would say the same."""
    own = items(204)[::8]
    media = [item.media for item in own]
    other = [
        replace(item, media=shown) for item, shown in zip(own, media[1:] + media[:1], strict=True)
    ]
    judge = build("hf", batch_size=26)
    texts = [
        [r[0].text for r in answers(judge, [Call(i, 1) for i in them])] for them in (own, other)
    ]
    assert texts[0] != texts[1]


def test_sampling_is_the_protocols_and_never_the_models(tmp_path) -> None:
    checkpoint = REPO / "recipes" / "tiny" / "checkpoint"
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    wanted = json.loads((checkpoint / "generation_config.json").read_text())
    recommended = {"repetition_penalty": 5.0, "do_sample": True, "temperature": 9.0, "top_k": 3}
    (tmp_path / "generation_config.json").write_text(json.dumps(wanted | recommended))
    calls = [Call(item, 1) for item in items(4)]
    asked = [answers(build("hf", model=str(path)), calls) for path in (checkpoint, tmp_path)]
    assert asked[0] == asked[1]
    limited = build("hf", replace(GREEDY, max_tokens=3))
    cut = [reply[0] for reply in answers(limited, calls)]
    assert {(answer.completion_tokens, answer.finish_reason) for answer in cut} == {(3, "length")}


def test_votes_differ_when_they_are_drawn() -> None:
    protocol = replace(GREEDY, votes=12, temperature=1.5)
    judge = build("hf", protocol)
    [replies] = answers(judge, [Call(items(1)[0], 12)])
    assert len({reply.text for reply in replies.values()}) > 1


# --- vLLM


@pytest.mark.slow
def test_vllm_reads_the_tokens_that_transformers_reads_and_answers_alike(tiny) -> None:
    judge = build("vllm")

    async def session(shown):
        try:
            prompts = [judge._prompt(item) for item in shown]
            outputs = await asyncio.gather(*(judge._finished(prompt, 1) for prompt in prompts))
            return [list(one.prompt_token_ids) for one in outputs], await ask(judge, calls)
        finally:
            await judge.close()

    calls = [call for item in items(6) for call in GREEDY.calls(item)]
    shown = [call.item for call in calls]
    tokens, replies = asyncio.run(session(shown))
    prepared = [tiny._inputs([tiny.prepare(tiny._processor, item)]) for item in shown]
    assert tokens == [one["input_ids"][0].tolist() for one in prepared]
    same = [a[0].text == b[0].text for a, b in zip(replies, answers(tiny, calls), strict=True)]
    assert sum(same) >= len(same) - 1  # float32 sums in another order
