"""A trainer that asks, inside a real run, what the actor's passes depend on (see test_train.py)."""

# verl imports external modules before its plug-ins: ours has to come first.
from collections.abc import Mapping, Sequence
from typing import Any

import r1reward.plugin  # noqa: F401

# isort: split
import torch
import transfer_queue as tq
from verl.trainer.ppo.v1 import register_trainer
from verl.utils import tensordict_utils as tu

from r1reward.plugin.trainer import R1Trainer

Tensors = Sequence[torch.Tensor]


@register_trainer("probe")
class ProbeTrainer(R1Trainer):
    """Step 1: repeats the old-log-prob pass with other inputs. Step 2: updates on other images."""

    def _compute_old_log_prob(self, batch: Any, metrics: dict[str, object]) -> Any:
        batch = super()._compute_old_log_prob(batch, metrics)
        if self.global_steps == 1:
            seen = self._values(batch, "old_log_probs")
            images = self._values(batch, "multi_modal_inputs")
            places = self._values(batch, "position_ids")
            self.run_dir.write(
                "probe",
                repeated=self._change(batch, seen),
                other_image=self._change(batch, seen, multi_modal_inputs=black(images)),
                other_places=self._change(batch, seen, position_ids=flat(places)),
                restored=self._change(batch, seen, multi_modal_inputs=images, position_ids=places),
                lengths=[len(row) for row in self._values(batch, "input_ids")],
                ids=self._values(batch, "input_ids")[0].tolist(),
                places=places[0].tolist(),
                grid=images[0]["image_grid_thw"].tolist(),
            )
        return batch

    def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
        if self.global_steps == 2:
            images = self._values(batch, "multi_modal_inputs")
            self._put(batch, multi_modal_inputs=black(images))
        return super()._update_actor(batch, metrics)

    def _change(self, batch: Any, before: Tensors, **fields: Sequence[object]) -> float:
        """Largest change of a response token's log-prob when ``fields`` are replaced."""
        self._put(batch, **fields)
        batch = super()._compute_old_log_prob(batch, {})
        after = self._values(batch, "old_log_probs")
        return max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))

    def _values(self, batch: Any, name: str) -> list[Any]:
        data = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=[name]
        )
        values = data[name]
        if isinstance(values, torch.Tensor):
            return list(values.unbind())
        return [getattr(value, "data", value) for value in list(values)]

    def _put(self, batch: Any, **fields: Sequence[object]) -> None:
        if not fields:
            return
        rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
        tq.kv_batch_put(
            keys=batch.keys,
            partition_id=batch.partition_id,
            fields=tu.list_of_dict_to_tensordict(rows),
        )


def black(images: Sequence[Mapping[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    """The same inputs with other pixels: all zero, which is a grey image once normalised."""
    return [{**item, "pixel_values": torch.zeros_like(item["pixel_values"])} for item in images]


def flat(places: Tensors) -> list[torch.Tensor]:
    """Positions without M-RoPE: every axis counts tokens."""
    return [torch.arange(p.shape[-1], dtype=p.dtype).expand_as(p).contiguous() for p in places]
