"""tools/bench/update.py: its contestants compute the same, its micro-batches are what it says."""

import pytest
import torch
from omegaconf import OmegaConf
from support.training import MODEL
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from r1reward.config.compose import REPO
from r1reward.plugin.log_probs import token_log_probs
from r1reward.tools.bench.update import CONTESTANTS, batch, build, passes, patched, timed

_SMALL = {
    "model_path": str(MODEL), "sequences": 3, "tokens": 40, "image": [8, 12],
    "batches": 2, "warm_up": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def cfg():
    return OmegaConf.merge(OmegaConf.load(REPO / "conf" / "bench_update.yaml"), _SMALL)


@pytest.fixture(scope="module")
def model(cfg):
    return build(cfg)


def test_micro_batches_are_of_different_lengths_and_images(cfg, model) -> None:
    first, second = (batch(cfg, model, number) for number in (0, 1))
    # 8 x 12 patches, or two rows fewer; then two columns fewer: four patches are a token
    assert first.inputs["image_grid_thw"].tolist() == [[1, 8, 12], [1, 6, 12], [1, 8, 12]]
    assert second.inputs["image_grid_thw"].tolist() == [[1, 8, 10], [1, 6, 10], [1, 8, 10]]
    assert first.inputs["attention_mask"].sum(1).tolist() == [24 + 40, 18 + 38, 24 + 36]
    assert second.inputs["attention_mask"].sum(1).tolist() == [20 + 34, 15 + 32, 20 + 30]
    assert (second.images, second.tokens) == (55, 55 + 96)
    image = second.inputs["input_ids"] == model.config.image_token_id
    assert image.sum(1).tolist() == [20, 15, 20]


def test_contestants_compute_the_same(cfg, model) -> None:
    given = batch(cfg, model, 0)
    totals, gradients = [], []
    for contestant in CONTESTANTS:
        with patched(contestant) as log_probs:
            totals.append(float(passes(model, given, log_probs)))
        gradients.append(torch.cat([p.grad.float().flatten() for p in model.parameters()]))
        model.zero_grad()
    assert totals[0] < 0
    assert totals == pytest.approx([totals[0]] * len(CONTESTANTS), rel=5e-3)  # bf16
    for other in gradients[1:]:
        assert torch.nn.functional.cosine_similarity(gradients[0], other, dim=0) > 0.999


def test_each_contestant_has_one_patch_more_and_leaves_all_as_it_was(model) -> None:
    def cudnn():
        return torch.backends.cuda.cudnn_sdp_enabled()

    attention = modeling_qwen2_5_vl.Qwen2_5_VLVisionAttention
    before = attention.forward, cudnn()
    expected = zip(CONTESTANTS, (0, 1, 1, 1), (1, 1, 0, 0), (0, 0, 0, 1), strict=True)
    for contestant, together, plans, by_rows in expected:
        with patched(contestant) as log_probs:
            assert (attention.forward is before[0]) == bool(together)
            assert cudnn() == bool(plans)
            assert (log_probs is token_log_probs) == bool(by_rows)
        assert (attention.forward, cudnn()) == before


class Calls(TorchFunctionMode):
    """Counts calls of torch's attention."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func is scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def test_only_the_first_contestant_attends_window_by_window(cfg, model) -> None:
    counts = {}
    for contestant in CONTESTANTS[:2]:
        with Calls() as calls:
            timed(cfg, model, contestant)
        counts[contestant] = calls.count
    assert counts["no patch"] > counts["windows together"] > 0
