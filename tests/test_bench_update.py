"""tools.bench_update: its contestants compute the same, and its micro-batches are what it says."""

import pytest
import torch
from omegaconf import OmegaConf
from test_train import MODEL
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from r1reward.config import REPO
from tools.bench_update import CONTESTANTS, batch, build, passes, patched, timed

_SMALL = {
    "model_path": str(MODEL), "device": "cpu", "sequences": 3, "tokens": 40, "image": [8, 12],
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


def test_contestants_compute_the_same_and_leave_no_trace(cfg, model) -> None:
    given, cudnn = batch(cfg, model, 0), torch.backends.cuda.cudnn_sdp_enabled()
    totals, gradients = [], []
    for contestant in CONTESTANTS:
        with patched(contestant) as log_probs:
            totals.append(float(passes(model, given, log_probs)))
        gradients.append(torch.cat([p.grad.float().flatten() for p in model.parameters()]))
        model.zero_grad()
        assert torch.backends.cuda.cudnn_sdp_enabled() == cudnn
    assert totals[0] < 0
    assert totals == pytest.approx([totals[0]] * len(CONTESTANTS), rel=5e-3)  # bf16
    for other in gradients[1:]:
        assert torch.nn.functional.cosine_similarity(gradients[0], other, dim=0) > 0.999


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
