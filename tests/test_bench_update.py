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


def test_no_two_micro_batches_or_sequences_have_one_length(cfg, model) -> None:
    masks = [batch(cfg, model, number).inputs["attention_mask"].sum(1) for number in (0, 1)]
    image = 8 * 12 // 4
    assert torch.cat(masks).tolist() == [image + 40 - 2 * place for place in range(6)]
    assert batch(cfg, model, 1).tokens == 3 * image + 34 + 32 + 30


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
