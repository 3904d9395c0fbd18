"""The plain loop of the study against verl's own actor update, on the same responses."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from r1reward.config.compose import REPO, compose_config
from r1reward.core.preferences import read_preferences
from r1reward.recipes.ablation import policy
from r1reward.recipes.ablation.difficulty import read_chances
from r1reward.recipes.ablation.update import Learner, Rollout, advantages

PROMPTS, SAMPLES = 4, 3
SHARED = [
    "cluster=cpu",
    f"data.train_batch_size={PROMPTS}",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "actor_rollout_ref.actor.ppo_epochs=2",
    f"actor_rollout_ref.rollout.n={SAMPLES}",
    "actor_rollout_ref.actor.optim.lr=1e-3",
    "data.steps=10",
]


@pytest.fixture(scope="module")
def start():
    config = compose_config(SHARED)
    model, processor = policy.load(config.actor_rollout_ref.model.path, "cpu")
    root = Path(config.data.media_root)
    # Pairs whose samples differ, or gradients would be rounding errors that Adam blows up.
    chances = read_chances(1048)
    unsure = sorted(range(1048), key=lambda place: abs(chances[place] - 0.5))[:PROMPTS]
    train = list(read_preferences(root / "train.jsonl"))
    records = [train[place] for place in unsure]
    prompts = policy.encode(records, root, processor)
    batch = policy.collate(prompts, model)
    generator = torch.Generator().manual_seed(3)
    samples = policy.generate(model, batch, samples=SAMPLES, tokens=48, generator=generator)
    return model, prompts, batch, samples


def verl_rows(prompts, batch, samples, reference):
    """One row a response, as verl's agent loop and trainer leave it: nothing is padded."""
    rows = []
    for p, prompt in enumerate(prompts):
        for s in range(SAMPLES):
            kept = samples.mask[p, s]
            response = samples.ids[p, s][kept]
            vision = batch.positions[:, p][:, batch.mask[p]]
            behind = vision[:, -1:] + torch.arange(1, len(response) + 1)
            length = len(prompt.ids) + len(response)
            row = {
                "prompts": prompt.ids,
                "responses": response,
                "input_ids": torch.cat([prompt.ids, response]),
                "position_ids": torch.cat(
                    [torch.arange(length)[None], torch.cat([vision, behind], dim=1)]
                ),
                "response_mask": torch.ones(len(response), dtype=torch.long),
                "loss_mask": torch.ones(len(response), dtype=torch.long),
                "old_log_probs": samples.log_probs[p, s][kept],
                "multi_modal_inputs": {
                    "pixel_values": prompt.patches,
                    "image_grid_thw": prompt.grid,
                },
            }
            if reference is not None:
                row["ref_log_prob"] = reference[p, s][kept]
            rows.append(row)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["stablereinforce", "filter_released", "dual_clip", "grpo"])
def test_plain_loop_makes_the_update_that_verl_makes(variant, start, tmp_path):
    model, prompts, batch, samples = start
    overrides = [f"experiment={variant}", *SHARED]
    config = compose_config(overrides)
    OmegaConf.resolve(config)
    # Rewards that a filter and a clip have something to do with.
    rewards = torch.tensor([2.0, 0.5, 2.0, 2.0, 1.5, 2.0, 0.5, 0.0, 2.0, 2.0, 2.0, 2.0])
    rewards = rewards.view(PROMPTS, SAMPLES)

    learner = Learner(copy.deepcopy(model), config)
    found = advantages(config, rewards, samples.mask)
    reference = None
    if learner.needs_reference:
        # Not the policy itself: the KL term must have a value and a gradient.
        reference = samples.log_probs - 0.3 * samples.mask
    ours = list(learner.update(Rollout(batch, samples, found, reference)))

    flat = samples.mask.flatten(0, 1)
    token_rewards = torch.zeros(flat.shape)
    for row, (mask, reward) in enumerate(zip(flat, rewards.flatten(), strict=True)):
        token_rewards[row, mask.sum() - 1] = reward
    torch.save(
        {
            "overrides": overrides,
            "rewards": token_rewards,
            "mask": flat,
            "prompt": np.array([f"p{p}" for p in range(PROMPTS) for _ in range(SAMPLES)]),
            "rows": verl_rows(prompts, batch, samples, reference),
        },
        tmp_path / "in.pt",
    )
    script = REPO / "tests" / "support" / "verl_update.py"
    command = [sys.executable, str(script), str(tmp_path / "in.pt"), str(tmp_path / "out.pt")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = torch.load(tmp_path / "out.pt", weights_only=False)

    torch.testing.assert_close(found.flatten(0, 1), theirs["advantages"], rtol=1e-6, atol=1e-6)
    assert [one["loss"] for one in ours] == pytest.approx(theirs["metrics"]["loss"], abs=5e-6)
    norms = [one["grad_norm"] for one in ours]
    assert len(norms) == 4
    assert norms == pytest.approx(theirs["metrics"]["grad_norm"], rel=1e-3)
    before, after = dict(model.named_parameters()), dict(learner.model.named_parameters())
    differ = [(value.detach() - theirs["weights"][name]).abs() for name, value in after.items()]
    moved = [(value - before[name]).detach().abs() for name, value in after.items()]
    print(variant, f"norms {norms} and {theirs['metrics']['grad_norm']}")
    print(f"moved {_mean(moved):.3g}, apart {_mean(differ):.3g}, {max(map(torch.max, differ)):.3g}")
    # Adam moves a weight without gradient by a whole step in the direction of its rounding error;
    # so the mean is compared, not the largest.
    assert _mean(moved) > 1e-4
    assert _mean(differ) < 1e-3 * _mean(moved)


def _mean(tensors):
    return float(torch.cat([tensor.flatten() for tensor in tensors]).mean())
