"""verl's synchronous trainer, plus the statistics it keeps to itself and a stop for a bad check."""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import transfer_queue as tq
from omegaconf import open_dict
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from r1reward import algorithms
from r1reward.consistency.health import ConsistencyGuard, Info, consistency_metrics
from r1reward.core.fields import PreferenceError
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.plugin.registration import RegistrationError, registered_in_worker
from r1reward.run import tracking
from r1reward.run.validation_pairs import COLUMNS, PairTable
from r1reward.store.rundir import RunDir

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_PAIRS = 16  # checked pairs a step that trackers show
_PAIR = ("uid", "reasoning", "answer", "right", "consistent", "failure", "seconds")


@register_trainer("r1_sync")
class R1Trainer(PPOTrainerSync):  # type: ignore[misc]
    """PPOTrainerSync that logs reward parts, check and advantage statistics of training batches.

    verl reports the parts of a reward for validation only (trainer_base.py:1126-1146), and an
    advantage estimator has no way to return metrics. Both go to the trackers and to the journal
    of the run directory, which the console, the end-of-run table and resumed runs read.

    When the check fails too often (``run.consistency_guard``) the batch at hand is not learned
    from, the step is saved and reported, and training ends with an error.
    """

    def __init__(self, config: Any) -> None:
        # verl compares this key with "sync" to choose replay buffer, refill and checkpoint
        # semantics (trainer_base.py:153,731,1004): our name must not change those.
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        # verl looks for finished rollouts every two seconds (replay_buffer.py:144), which is
        # as long as a small model takes for the whole batch.
        self.replay_buffer.poll_interval = _POLL_SECONDS
        self.run_dir = RunDir(Path(config.run.dir))
        self.consistency_guard = ConsistencyGuard(**config.run.consistency_guard)
        self._answers: list[str] = []
        self._table = PairTable(config.data, int(config.trainer.log_val_generations))

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        self.run_dir.event("data", train=len(self.train_dataset), val=len(self.val_dataset))

    def on_init_end(self) -> None:
        """Prove registration in the workers, then sync the first weights to the rollout."""
        self.run_dir.event("engines")
        loss = self.config.actor_rollout_ref.actor.policy_loss.loss_mode
        for worker in self.actor_rollout_wg.workers:
            if loss not in ray.get(worker.__ray_call__.remote(registered_in_worker)):
                raise RegistrationError(
                    f"the training worker has no policy loss {loss!r}: r1reward is not installed "
                    "in the environment of its node; run `make setup` there"
                )
        super().on_init_end()
        self.run_dir.event("weights")

    def on_train_begin(self) -> None:
        """Mark the end of start-up."""
        super().on_train_begin()
        tracking.describe(self.logger.logger, self.run_dir)
        self.run_dir.event("training", step=self.global_steps, steps=self.total_training_steps)

    def fit(self, agent_loop_manager: Any) -> None:
        """Train; an unreliable check ends it, after the last step as after any other."""
        super().fit(agent_loop_manager)
        self.consistency_guard.check()

    def on_step_begin(self) -> None:
        """Stop here for an unreliable check: the step before is saved and reported by now."""
        super().on_step_begin()
        if self.consistency_guard.tripped:
            self._shutdown_dump_executor()
            self.consistency_guard.check()

    def on_step_end(self) -> None:
        """Save what training stops with, where verl saves: before the rollout engine wakes up."""
        if self.consistency_guard.tripped and self.run_dir.latest_step() != self.global_steps:
            self._save_checkpoint()
        super().on_step_end()

    def _maybe_log_val_generations(self, inputs: Any, outputs: list[str], scores: Any) -> None:
        """Keep the answers for a table of pairs; verl's own has neither images nor verdicts."""
        self._answers = outputs

    def _val_metrics_update(
        self,
        data_sources: Any,
        sample_uids: Any,
        reward_extra_infos_dict: Any,
        *args: object,
        **kw: object,
    ) -> dict[str, float]:
        averaged = {k: v for k, v in reward_extra_infos_dict.items() if k != "arrived"}
        metrics: dict[str, float] = super()._val_metrics_update(
            data_sources, sample_uids, averaged, *args, **kw
        )
        counts = {
            name: sum(value == 1 for value in reward_extra_infos_dict.get(key, []))
            for name, key in {
                "correct": "acc",
                "formatted": "format",
                "consistent": "consistency",
                "parse_failures": "parse_failure",
            }.items()
        }
        self.run_dir.write(
            "validation",
            step=self.global_steps,
            n=len(sample_uids),
            **counts,
            metrics=metrics,
        )
        self._show_validation(reward_extra_infos_dict)
        return metrics

    def _show_validation(self, infos: Mapping[str, Sequence[Any]]) -> None:
        """Send the same few pairs to the trackers; the run directory's validations hold them all.

        Args:
            infos: parts of the reward by name, in the order of the answers.
        """
        if not tracking.shows_tables(self.logger.logger):
            return
        answers: dict[str, tuple[str, dict[str, object]]] = {}
        for text, *values in zip(self._answers, *infos.values(), strict=True):
            parts = dict(zip(infos, values, strict=True))
            if uid := parts["record_uid"]:  # None where generation failed
                answers.setdefault(uid, (text, parts))
        try:
            rows = self._table.rows(answers)
        except (
            PreferenceError,
            OSError,
        ) as error:  # the file is gone or changed
            _log.warning("no table of validation pairs: %s", error)
            return
        self._show("validation/pairs", COLUMNS, rows)

    def _show(self, name: str, columns: Sequence[str], rows: list[list[Any]]) -> None:
        tracking.show_table(self.logger.logger, name, columns, rows, self.global_steps)

    def _compute_advantage(self, batch: Any, metrics: dict[str, object]) -> Any:
        batch = super()._compute_advantage(batch, metrics)
        metrics.update(algorithms.take_metrics())
        return batch

    def _update_actor(self, batch: Any, metrics: dict[str, object]) -> Any:
        """Learn from the batch, unless too many of the last agreements failed."""
        self.consistency_guard.add(self._infos(batch).values())
        return batch if self.consistency_guard.tripped else super()._update_actor(batch, metrics)

    def _compute_metrics(
        self, batch: Any, metrics: dict[str, object], timing_raw: Any, global_steps: int, epoch: int
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        infos = self._infos(batch)
        metrics["rollout/samples"] = len(infos)
        metrics.update(mean_of_parts(list(infos.values())))
        metrics.update(consistency_metrics(list(infos.values()), timing_raw["step"]))
        self.run_dir.write("train", step=global_steps, metrics=metrics)
        self._show_pairs(batch, infos)

    def _infos(self, batch: Any) -> dict[str, Info]:
        """Return what the reward manager said of the real (non-padding) samples of ``batch``."""
        real = [
            key
            for key, tag in zip(batch.keys, batch.tags, strict=True)
            if not tag.get("is_padding", False)
        ]
        fields = tq.kv_batch_get(
            keys=real, partition_id=batch.partition_id, select_fields=["extra_fields"]
        )
        extras = [getattr(extra, "data", extra) for extra in list(fields["extra_fields"])]
        return {k: extra["reward_extra_info"] for k, extra in zip(real, extras, strict=True)}

    def _show_pairs(self, batch: Any, infos: Mapping[str, Info]) -> None:
        """Send a sample of the checked pairs to the trackers; the rollouts hold them all."""
        checked = [key for key, info in infos.items() if info["checked"]]
        if not checked or not tracking.shows_tables(self.logger.logger):
            return
        keys = random.Random(self.global_steps).sample(checked, min(_PAIRS, len(checked)))  # noqa: S311
        data = tq.kv_batch_get(
            keys=keys, partition_id=batch.partition_id, select_fields=["responses"]
        )
        texts = [
            self.tokenizer.decode(ids, skip_special_tokens=True)
            for ids in data["responses"].unbind()
        ]
        rows = [checked_pair(text, infos[key]) for text, key in zip(texts, keys, strict=True)]
        self._show("consistency/pairs", _PAIR, rows)

    def _log_rollout_data(self, batch: Any, timing_raw: Any, rollout_data_dir: str) -> None:
        """Write one row per sample, every reward part included (verl's dump has the score only)."""
        data = tq.kv_batch_get(
            keys=batch.keys,
            partition_id=batch.partition_id,
            select_fields=["responses", "reward_model", "extra_fields"],
        )
        responses = data["responses"].to_padded_tensor(padding=self.tokenizer.pad_token_id)
        extras = [getattr(extra, "data", extra) for extra in list(data["extra_fields"])]
        infos = [extra.get("reward_extra_info", {}) for extra in extras]
        kept = [i for i, info in enumerate(infos) if info]  # padding rows have no reward
        labels = [item["ground_truth"] for item in list(data["reward_model"])]
        names = sorted({name for i in kept for name in infos[i]})
        self._dump_generations(
            inputs=[infos[i]["record_uid"] for i in kept],
            outputs=[self.tokenizer.decode(responses[i], skip_special_tokens=True) for i in kept],
            gts=[labels[i] for i in kept],
            scores=[infos[i]["final"] for i in kept],
            reward_extra_infos_dict={name: [infos[i][name] for i in kept] for name in names},
            dump_path=rollout_data_dir,
        )


def checked_pair(text: str, info: Mapping[str, object]) -> list[Any]:
    """Return the cells of one checked response: what the check was given, and what it said."""
    verdict = parse_verdict(text)
    assert isinstance(verdict, Verdict), "only answers are checked"
    consistent = None if info["consistency_failure"] else info["consistency"] == 1
    return [
        *(info["record_uid"], verdict.reasoning, verdict.choice, info["acc"] == 1),
        *(consistent, info["consistency_failure_kind"], info["consistency_seconds"]),
    ]


def mean_of_parts(infos: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Return ``reward/<part>/mean`` over the samples, for every number but the check's."""
    names = sorted({name for info in infos for name, value in info.items() if _number(value)})
    return {
        f"reward/{name}/mean": float(np.mean([info[name] for info in infos if name in info]))
        for name in names
        if name not in ("arrived", "checked") and not name.startswith("consistency_")
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
