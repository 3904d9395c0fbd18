"""Hints: real failures, raised here where that can be, lead to the advice meant for them."""

import errno
import http.server
import importlib.util
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from r1reward.config.compose import CONF, REPO, compose_config
from r1reward.config.tree import flatten
from r1reward.launch.hints import _TOKENS, HINTS, cause, hint
from r1reward.launch.run import reason

MODEL = REPO / "recipes" / "tiny" / "checkpoint"


def raised(action) -> str:
    """What a person would be shown of the exception that ``action`` raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the library's business
        action()
    return reason(caught.value)


def no_space():
    with open("/dev/full", "w") as file:
        file.write("x")


def port_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_server(server.getsockname())


def no_memory():
    import torch

    torch.empty(10**15)


def not_finite():
    import torch

    torch.multinomial(torch.tensor([float("nan")]), 1)


def no_flash_attention():
    import transformers

    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is installed")
    config = transformers.AutoConfig.from_pretrained(MODEL)
    auto = transformers.AutoModelForImageTextToText
    auto.from_config(config, attn_implementation="flash_attention_2")


def too_many_files():
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (no_space, "A disk is full"),
        (port_taken, "A port is taken"),
        (no_memory, "The machine's memory is full"),
        (not_finite, "stopped being finite"),
        (no_flash_attention, "attn_implementation=sdpa"),
        (too_many_files, "ulimit -n"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_raised_here_has_its_advice(failure, advice) -> None:
    assert advice in (hint(raised(failure)) or "")


@pytest.mark.parametrize(
    ("code", "status", "advice"),
    [
        ("GatedRepo", 403, "The model is gated"),
        ("RepoNotFound", 404, "The hub knows no such model"),
    ],
)
def test_what_the_hub_refuses_has_its_advice(code, status, advice, tmp_path) -> None:
    from huggingface_hub import hf_hub_download

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "Access to model a/b is restricted.")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = {"endpoint": f"http://127.0.0.1:{server.server_port}", "cache_dir": tmp_path}
        words = raised(lambda: hf_hub_download("a/b", "config.json", **where))
        server.shutdown()
    assert advice in (hint(words) or ""), words


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (
            "from transformers import AutoConfig; AutoConfig.from_pretrained('nobody/nothing')",
            "cannot be reached",
        ),
        ("import wandb; wandb.init(mode='online')", "WANDB_MODE=offline"),
    ],
    ids=["hub", "wandb"],
)
def test_what_another_process_says_has_its_advice(tmp_path, code, advice) -> None:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    env |= {"WANDB_API_KEY": "short", "WANDB_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert advice in (hint(done.stderr) or ""), done.stderr


# Words of failures that need hardware: a phrase, the advice, and the package that says it.
SOURCES = [
    ("No available memory for the cache blocks", "gpu_memory_utilization", "vllm/v1/core"),
    ("less than desired GPU memory utilization", "gpu_memory_utilization", "vllm/v1/worker"),
    ("exceeds /dev/shm size", "--shm-size", "ray/_private/services.py"),
    ("Total available GPUs", "cluster=", "verl/single_controller/ray"),
    ("died unexpectedly", "was killed", "ray/exceptions.py"),
]


@pytest.mark.parametrize(("phrase", "advice", "where"), SOURCES, ids=lambda value: str(value)[:20])
def test_what_libraries_say_has_its_advice(phrase, advice, where) -> None:
    assert advice in (hint(f"ValueError: {phrase} x") or "")
    package, _, rest = where.partition("/")
    place = Path(importlib.util.find_spec(package).origin).parent / rest
    if not place.exists():
        pytest.skip(f"{where} is compiled")
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    text = " ".join(file.read_text() for file in files)
    words = " ".join(text.replace('"', " ").split())  # joins strings that span lines
    assert " ".join(phrase.split()) in words or phrase in text


@pytest.mark.parametrize(
    "words",
    ["ValueError: no rows", "KeyError: 'x'", "ConsistencyError: 9 of the last 10 failed"],
)
def test_nothing_is_made_up_for_other_failures(words) -> None:
    assert hint(words) is None


def test_the_keys_that_hints_name_are_there() -> None:
    keys = {
        *flatten(compose_config(["cluster=gpu1"])),
        *flatten(compose_config(["cluster=gpu1"], config_name="sft")),
    }
    named = {
        word.rstrip(".,;:)").partition("=")[0].lstrip("(")
        for text in [*HINTS.values(), _TOKENS]
        for word in text.split()
        if word.startswith(("actor_rollout_ref.", "data.", "run.", "trainer.", "ray_kwargs."))
    }
    assert len(named) > 8
    assert {name for name in named if name not in keys} == set()
    assert (CONF / "logging" / "local.yaml").is_file()


# --- causes in the log

DIED = "ActorDiedError: The actor died unexpectedly before finishing this task."
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."


@pytest.mark.parametrize(
    "line",
    [
        CUDA,
        f"\x1b[36m(WorkerDict pid=123, ip=10.0.0.1)\x1b[0m {CUDA}",
        f"(vLLMHttpServer pid=7) (EngineCore pid=9) ERROR 11-26 01:02:03 [core.py:895] {CUDA}",
        f"[rank0]: {CUDA}",
    ],
)
def test_the_cause_of_a_death_is_in_the_log(tmp_path, line) -> None:
    log = tmp_path / "train.log"
    log.write_text(f"ValueError: of an earlier start\n{line}\nand more\nray.exceptions.{DIED}\n")
    assert cause(DIED, log) == CUDA
    assert "gpu_memory_utilization" in hint(cause(DIED, log))


def test_only_this_start_is_searched_and_only_for_a_death(tmp_path) -> None:
    log = tmp_path / "train.log"
    log.write_text(f"{CUDA}\n")
    assert cause("ValueError: no rows", log) is None
    assert cause(DIED, log, since=log.stat().st_size) is None
    assert "was killed" in hint(DIED)
