"""One trajectory as verl's agent loop sends it to a reward manager, of a real tokenizer."""

import numpy as np
import torch
from tensordict import TensorDict
from transformers import PreTrainedTokenizerBase
from verl import DataProto

GOOD = "<think>Response 2 is better.</think><answer>2</answer>"


def proto(
    tokenizer: PreTrainedTokenizerBase,
    response: str,
    label: int,
    *,
    prompt: str = "Which is better?",
    padding: str = "",
) -> DataProto:
    """One trajectory as verl/experimental/agent_loop/agent_loop.py:967-1029 sends it.

    ``padding`` stands behind the response, where the attention mask is 0.
    """
    ids = {
        name: tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].long()
        for name, text in (("prompt", prompt), ("response", response), ("padding", padding))
    }
    responses = torch.cat([ids["response"], ids["padding"]], dim=1)
    seen = ids["prompt"].shape[1] + ids["response"].shape[1]
    mask = torch.zeros(1, ids["prompt"].shape[1] + responses.shape[1], dtype=torch.int64)
    mask[:, :seen] = 1
    batch = {
        "prompts": ids["prompt"],
        "responses": responses,
        "input_ids": torch.cat([ids["prompt"], responses], dim=1),
        "attention_mask": mask,
    }
    rows = {
        "reward_model": {"style": "rule", "ground_truth": str(label)},
        "extra_info": {"uid": "u1", "index": 0},
        "raw_prompt": [{"role": "user", "content": prompt}],
    }
    columns = {}
    for name, value in rows.items():
        columns[name] = np.empty(1, dtype=object)
        columns[name][0] = value
    return DataProto(batch=TensorDict(batch, batch_size=1), non_tensor_batch=columns)
