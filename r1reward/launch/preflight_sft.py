"""Preflight checks of a cold start: every row has a target, and fits."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig

from r1reward.config.batches import uneven_batch
from r1reward.config.secrets import check_secrets
from r1reward.core.errors import ConfigError
from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError
from r1reward.core.preferences import parse_preference, refuse_parts_in_jsonl
from r1reward.core.reasoning import reasoning_of, target_ids
from r1reward.core.rows import Row, RowError, scan_rows
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import LengthError, PromptLength
from r1reward.launch.preflight import check_model, check_plugin, data_files, show_rows
from r1reward.store.files import replacing
from r1reward.store.shards import media_folder

# Rows whose images are decoded together; they may carry them, so all of a file would not fit.
_ROWS = 256
_Scanned = tuple[str, Row | RowError]


def sft_preflight(cfg: DictConfig) -> None:
    """Raise :class:`ConfigError` with one clear message for everything a run would trip over.

    With ``data.drop_unusable`` rows that cannot be learned from are listed in ``data.dropped``.

    Args:
        cfg: the resolved configuration of a run.
    """
    check_plugin()
    check_secrets(cfg)
    check_model("model.path", str(cfg.model.path))
    _check_machine(cfg)
    try:
        length = PromptLength(str(cfg.model.path), cfg.data.min_pixels, cfg.data.max_pixels)
    except LengthError as error:
        raise ConfigError(f"model.path: {error}") from None
    dropped: list[dict[str, object]] = []
    rows = {
        key: _check_rows(key, cfg.data, length, dropped)
        for key in ("train_files", "val_files")
        if key == "train_files" or cfg.data[key]
    }
    _check_steps(cfg, rows["train_files"], rows.get("val_files", 0))
    with replacing(cfg.data.dropped) as part, open(part, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in dropped)


def _check_machine(cfg: DictConfig) -> None:
    if cfg.trainer.nnodes != 1:
        raise ConfigError(f"trainer.nnodes={cfg.trainer.nnodes}: a cold start runs on one machine.")
    if problem := uneven_batch(int(cfg.data.train_batch_size), int(cfg.trainer.n_gpus_per_node)):
        raise ConfigError(f"{problem}.")


def _check_rows(
    key: str, data: DictConfig, length: PromptLength, dropped: list[dict[str, object]]
) -> int:
    """Return how many rows can be learned from, at most as many as the configuration takes."""
    paths, errors, index = data_files(key, data[key]), [], 0
    names = [data[key]] if isinstance(data[key], str) else list(data[key])
    for path in paths:
        check = partial(
            _row_error,
            root=media_folder(path, data.media_root),
            length=length,
            limit=int(data.max_length),
        )
        try:
            refuse_parts_in_jsonl(path)
            for error in _in_parallel(check, scan_rows(path)):
                if error:
                    errors.append(error)
                    dropped.append({"files": names, "index": index, "why": error})
                index += 1
        except (PreferenceError, RowError) as error:
            raise ConfigError(f"data.{key}: {error}") from None
    if errors and not data.drop_unusable:
        raise ConfigError(
            f"{show_rows(key, errors)}\nCorrect them, or leave them out: data.drop_unusable=true"
        )
    most = int(data["train_max_samples" if key == "train_files" else "val_max_samples"])
    return min(index - len(errors), most) if most > 0 else index - len(errors)


def _in_parallel(
    check: Callable[[_Scanned], str | None], rows: Iterator[_Scanned]
) -> Iterator[str | None]:
    with ThreadPoolExecutor() as pool:
        while chunk := list(islice(rows, _ROWS)):
            yield from pool.map(check, chunk)


def _row_error(item: _Scanned, root: Path, length: PromptLength, limit: int) -> str | None:
    where, row = item
    if isinstance(row, RowError):
        raise row  # the reader of the training processes fails on it as well
    try:
        preference = parse_preference(row, where=where)
    except PreferenceError as error:
        return str(error)
    try:
        target = target_ids(reasoning_of(row, preference), length.tokenizer)
        pictures = [examine(media, root) for media in preference.all_media()]
        tokens = length.count(preference, pictures) + len(target)
    except (PreferenceError, ImageError, LengthError) as error:
        return f"{where}: {error}"
    if tokens > limit:
        return f"{where}: {tokens} tokens with its reasoning, more than data.max_length={limit}"
    return None


def _check_steps(cfg: DictConfig, train: int, val: int) -> None:
    batch, steps = int(cfg.data.train_batch_size), cfg.data.steps
    if train < batch:
        raise ConfigError(
            f"data.train_files: {train} usable row(s), fewer than data.train_batch_size={batch}."
        )
    possible = train // batch * int(cfg.data.epochs)
    if steps and steps > possible:
        raise ConfigError(
            f"data.steps={steps}, but data.epochs={cfg.data.epochs} of {train} rows make "
            f"{possible} steps: raise data.epochs."
        )
    if cfg.data.val_files and val < cfg.trainer.n_gpus_per_node:
        raise ConfigError(f"data.val_files: {val} usable row(s), fewer than training processes.")
