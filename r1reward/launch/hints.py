"""Hints for known failures, found by words of their errors."""

import re
from pathlib import Path

_TAIL = 1 << 20  # bytes of a log that are searched
# `r1reward train` and `r1reward sft` name the same thing differently.
_TOKENS = (
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu (r1reward sft: data.max_token_len_per_gpu)"
)
# By an expression for words of the failure; an advice begins with the problem.
HINTS = {
    r"CUDA out of memory|CUDA error: out of memory": (
        f"The GPU's memory is full. While training: lower {_TOKENS}, or "
        "data.max_response_length. While generating: lower "
        "actor_rollout_ref.rollout.gpu_memory_utilization. `r1reward plan` says what fits."
    ),
    r"No available memory for the cache blocks|less than desired GPU memory utilization": (
        "vLLM got too little GPU memory: raise actor_rollout_ref.rollout.gpu_memory_utilization "
        "when it left none for its cache, lower it when others hold the memory (`nvidia-smi`)."
    ),
    r"/dev/shm|Bus error|SIGBUS": (  # noqa: S108
        "Shared memory is too small: start the container with --shm-size=2g or more, delete what "
        "is left in /dev/shm, or lower ray_kwargs.ray_init.object_store_memory."
    ),
    r"No space left on device": (
        "A disk is full: the run's own (run.root), or that of temporary files (TMPDIR). "
        "data.save_every and trainer.max_actor_ckpt_to_keep decide what checkpoints take."
    ),
    r"can't allocate memory|Cannot allocate memory|node running low on memory|\bMemoryError\b": (
        f"The machine's memory is full: close other programs, or lower {_TOKENS} or "
        "data.train_batch_size."
    ),
    r"Address already in use": (
        "A port is taken, often by a run that has just ended: wait a few seconds and start again, "
        "or see who holds it with `ss -ltnp`."
    ),
    r"FlashAttention\d? has been toggled on|No module named 'flash_attn'": (
        "flash-attn is not installed: build it (docs/index.md, flash-attn), or set "
        "actor_rollout_ref.model.override_config.attn_implementation=sdpa and "
        "actor_rollout_ref.model.use_remove_padding=false (r1reward sft: model.*)."
    ),
    r"RepositoryNotFoundError|Repository Not Found|not a valid model identifier": (
        "The hub knows no such model, or hides it from you: correct the name, or give a token in "
        "HF_TOKEN."
    ),
    r"GatedRepoError|[Gg]ated repo|403 Client Error": (
        "The model is gated: accept its terms on its page, then give a token in HF_TOKEN or by "
        "`hf auth login`."
    ),
    r"couldn't connect to 'https?://|LocalEntryNotFoundError|OfflineModeIsEnabled": (
        "The hub cannot be reached and the model is not in its cache: download it where there is "
        "a network (`hf download NAME`), then give its directory."
    ),
    r"\bCommError\b|WANDB_API_KEY|api_key not configured": (
        "W&B refused the key or cannot be reached: train with WANDB_MODE=offline and send the run "
        "later (`r1reward wandb-sync`), or with logging=local."
    ),
    r"contains either `inf`, `nan`|(loss|grad_norm|logits?) (is|are|contains?) (nan|inf)": (
        "Numbers stopped being finite: see the gradient norm in the report, resume from the last "
        "checkpoint with a smaller actor_rollout_ref.actor.optim.lr (r1reward sft: optim.lr)."
    ),
    r"Total available GPUs": (
        "The machine has fewer GPUs than the profile asks for: choose another cluster= "
        "(`r1reward doctor` says which), or free those that are taken."
    ),
    r"world_size_\d+_rank_\d+\.pt": (
        "A checkpoint is read by as many processes as wrote it: resume with the same cluster= and "
        "number of GPUs, or start a new run from the exported model (`r1reward export`)."
    ),
    r"NCCL|ncclSystemError|Watchdog caught collective": (
        "The GPUs could not talk to one another: start again with NCCL_DEBUG=INFO and read the "
        "log; a process that died earlier shows there too."
    ),
    r"Too many open files": (
        "Too many files are open: raise the limit in the shell that starts the run, such as "
        "`ulimit -n 65536`."
    ),
    r"SIGKILL|OOM killer|died unexpectedly": (
        "A process of the run was killed, mostly for want of memory: `dmesg | tail` says so. Close "
        "other programs, or lower data.train_batch_size."
    ),
}
# What others say when a process is gone; the cause is in the log, if anywhere.
_MESSENGER = re.compile(
    r"ActorDiedError|ActorUnavailableError|WorkerCrashedError|EngineDeadError|died unexpectedly"
    r"|Engine core initialization failed|ChildFailedError|ended with status"
)
_ERROR = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure): .+", re.MULTILINE)
# What stands before the words of a process: Ray's, vLLM's and torchrun's name for it.
_SPEAKER = re.compile(
    r"^(?:(?:\x1b\[[0-9;]*m)*\([^()\n]*pid=[^()\n]*\)(?:\x1b\[[0-9;]*m)*\s+"
    r"|\[rank\d+\]:\s*|ERROR \d\d-\d\d [\d:]+ \[[^]\n]*\]\s+)+",
    re.MULTILINE,
)


def hint(words: str) -> str | None:
    """Return what to do about an error with these words, or None where nothing is known."""
    return next((text for known, text in HINTS.items() if re.search(known, words)), None)


def cause(words: str, log: Path, since: int = 0) -> str | None:
    """Return the last error of the log when ``words`` only say that a process is gone.

    Args:
        words: type and message of the exception at hand.
        log: what the run's processes printed.
        since: byte at which the output of this start begins.
    """
    if not _MESSENGER.search(words):
        return None
    with open(log, "rb") as file:
        end = file.seek(0, 2)
        file.seek(max(since, end - _TAIL))
        text = file.read().decode(errors="replace")
    said = _ERROR.findall(_SPEAKER.sub("", text))
    return next((line for line in reversed(said) if not _MESSENGER.search(line)), None)
