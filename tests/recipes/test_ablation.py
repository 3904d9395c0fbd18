"""The study's parts against independent expectations: sampling, flags, statistics, resumption."""

import json

import pytest
import torch

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError
from r1reward.core.preferences import read_preferences
from r1reward.recipes.ablation import policy
from r1reward.recipes.ablation.collapse import flags
from r1reward.recipes.ablation.design import Run, runs_of
from r1reward.recipes.ablation.difficulty import read_chances, right_chances
from r1reward.recipes.ablation.study import finished
from r1reward.recipes.ablation.summary import cells
from r1reward.recipes.photos.build import PHOTOS
from r1reward.recipes.tiny.build import CHECKPOINT


@pytest.fixture(scope="module")
def start():
    model, processor = policy.load(str(CHECKPOINT), "cpu")
    records = list(read_preferences(PHOTOS / "train.jsonl"))[:6]
    return model, processor, records, policy.encode(records, PHOTOS, processor)


def test_shared_prompts_change_no_probability(start):
    """One row a response through transformers' own forward gives the same log-probabilities."""
    model, _, _, prompts = start
    batch = policy.collate(prompts[:3], model)
    assert not batch.mask.all()  # of different lengths
    generator = torch.Generator().manual_seed(0)
    samples = policy.generate(model, batch, samples=2, tokens=48, generator=generator)
    values = policy.log_probs(model, batch, samples)
    torch.testing.assert_close(values, samples.log_probs, rtol=0, atol=1e-4)
    for p, prompt in enumerate(prompts[:3]):
        for s in range(2):
            response = samples.ids[p, s][samples.mask[p, s]]
            ids = torch.cat([prompt.ids, response])[None]
            with torch.no_grad():
                logits = model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    mm_token_type_ids=(ids == model.config.image_token_id).int(),
                    pixel_values=prompt.patches,
                    image_grid_thw=prompt.grid,
                ).logits[0, len(prompt.ids) - 1 : -1]
            plain = logits.log_softmax(-1).gather(-1, response[:, None])[:, 0]
            torch.testing.assert_close(values[p, s][: len(response)], plain, rtol=0, atol=1e-4)


def test_greedy_answers_are_those_of_transformers(start):
    model, _, _, prompts = start
    batch = policy.collate(prompts, model)
    found = policy.generate(model, batch, samples=1, tokens=48, generator=None)
    for p, prompt in enumerate(prompts):
        ids = prompt.ids[None]
        with torch.no_grad():
            answer = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == model.config.image_token_id).int(),
                pixel_values=prompt.patches,
                image_grid_thw=prompt.grid,
                max_new_tokens=48,
                do_sample=False,
            )[0, ids.shape[1] :]
        assert found.ids[p, 0][found.mask[p, 0]].tolist() == answer.tolist()


def test_prompts_are_those_that_the_processor_makes(start):
    _, processor, records, prompts = start
    from r1reward.core.media import open_image
    from r1reward.core.prompt import build_messages

    for record, prompt in zip(records, prompts, strict=True):
        text = processor.apply_chat_template(
            build_messages(record), tokenize=False, add_generation_prompt=True
        )
        image = open_image(record.media[0].uri, PHOTOS)
        whole = processor(text=[text], images=[image], return_tensors="pt")
        assert torch.equal(whole["input_ids"][0], prompt.ids)
        assert torch.equal(whole["pixel_values"], prompt.patches)


def test_the_kept_difficulties_are_the_checkpoints(start):
    model, processor, records, prompts = start
    kept = read_chances(1048)
    assert right_chances(model, processor, records, prompts) == pytest.approx(
        kept[: len(records)], abs=2e-3
    )
    with pytest.raises(ValueError, match="1048 probabilities for 7 training pairs"):
        read_chances(7)


def step(**changes):
    return {"finite": True, "format": 1.0, "length": 40.0} | changes


def test_collapse_flags():
    fine = [step()] * 6
    assert flags(fine, 0.51, 56) == []
    assert flags(fine, 0.5, 56) == ["chance"]
    assert flags([*fine, step(finite=False), step()], 0.9, 56) == ["not finite"]
    assert flags([step(format=0.4)] * 5 + fine, 0.9, 56) == ["format lost"]
    assert flags(([step(format=0.4)] * 4 + [step()]) * 2, 0.9, 56) == []
    assert flags([*fine, step(length=53.2)], 0.9, 56) == ["too long"]


def made(variant, seed, accuracy):
    row = {
        "grad_norm": 1.0 + seed, "grad_norm_max": "inf", "filtered": 0.5 * seed, "length": 40,
        "filtered_negative": 0.0, "preclipped": 0.0, "clipped": 0.0, "log_ratio_max": 1.0,
    }  # fmt: skip
    last = {"accuracy": accuracy, "first": 0.5, "consistent": 1.0}
    end = {"collapse": ["chance"] if accuracy <= 0.5 else [], "seconds": 1.0}
    head = {"setting": "base", "variant": variant, "seed": seed}
    return head | {"steps": [row], "validations": [last], "end": end}


def test_differences_are_paired_by_seed():
    runs = [made("a", 0, 0.6), made("a", 1, 0.8), made("b", 1, 0.5), made("b", 2, 0.9)]
    first, second = cells(runs, "a")
    assert first.difference is None
    assert second.difference.n == 1
    assert second.difference.value == pytest.approx(-0.3)
    assert second.accuracy.value == pytest.approx(0.7)
    assert (second.collapsed, second.flags) == (1, {"chance": 1})
    assert second.grad_norm == 2.5
    assert second.grad_norm_max == float("inf")
    assert first.filtered_steps == 0.5


def given(**changes):
    stress = {"base": {"overrides": [], "easy": None}}
    plan = {"variants": ["a", "b"], "settings": ["base"], "seeds": 2, "shared": ["x=1"]}
    return plan | {"stress": stress} | changes


def test_runs_are_ordered_by_seed_and_named():
    runs = runs_of(given())
    assert [(run.seed, run.variant) for run in runs] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert runs[3].overrides == ("experiment=b", "x=1", "run.seed=1")
    with pytest.raises(ConfigError, match="not in `stress`, which has base"):
        runs_of(given(settings=["bse"]))


def test_only_a_complete_file_of_the_same_run_is_finished(tmp_path):
    run = Run("a", "base", 0, ("x=1",), None)
    file = tmp_path / run.file
    assert not finished(run, tmp_path)
    head, end = {"kind": "run", **run.header()}, {"kind": "end", "collapse": []}
    file.write_text(json.dumps(head) + "\n")
    assert not finished(run, tmp_path)
    file.write_text(json.dumps(head) + "\n" + json.dumps(end) + "\n")
    assert finished(run, tmp_path)
    assert not finished(Run("a", "base", 0, ("x=2",), None), tmp_path)


@pytest.mark.parametrize(
    ("variant", "rule", "preclip", "dual_clip"),
    [("filter_released", "released", True, None), ("dual_clip", "none", False, 3.0)],
)
def test_experiments_of_the_study(variant, rule, preclip, dual_clip):
    config = compose_config([f"experiment={variant}", "cluster=cpu"])
    loss = config.actor_rollout_ref.actor.policy_loss
    assert config.algorithm.stable_reinforce.filter == rule
    assert (loss.preclip, loss.dual_clip) == (preclip, dual_clip)
