"""Judge by vLLM: continuous batching, shared prefixes, all votes in one request."""

import asyncio
import os
import subprocess
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from r1reward.core.media import ImageError
from r1reward.core.pair import Pair
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer, Reply
from r1reward.judge.local import LocalJudge, checkpoint_dtype
from r1reward.judge.protocol import Protocol
from r1reward.machine import janitor
from r1reward.machine.gpus import count_gpus

# vLLM's CPU backend otherwise compiles at start, takes half of the memory, and binds one core; and
# its threads wait for each other in loops that keep the preparation of prompts off the cores.
_CPU_ENVIRONMENT = {
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(os.cpu_count() or 1),
    "OMP_WAIT_POLICY": "PASSIVE",
}


class VLLMJudge(LocalJudge):
    """Hands every prompt to the engine at once; the two orders of an item share their prefix."""

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        model: str,
        revision: str | None,
        min_pixels: int | None,
        max_pixels: int | None,
        window: int,
        engine: Mapping[str, object],
    ) -> None:
        super().__init__(protocol, media_root, model, revision, min_pixels, max_pixels)
        self.window = window
        self._arguments = dict(engine)
        for key in ("dtype", "quantization"):  # of the engine's settings, these change answers
            if value := self._arguments.get(key):
                self.identity += f":{value}"
        self._janitor: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # a tokenizer serves one thread at a time

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield all votes when the last one is there: they are one request."""
        try:
            preparing = asyncio.to_thread(self._prompt, pair)
            output = await self._finished(await preparing, len(votes))
        except ImageError as error:
            for vote in votes:
                yield vote, Fault("media", str(error))
            return
        except ValueError as error:  # refused before it began: longer than the model reads
            for vote in votes:
                yield vote, Fault("refused", str(error))
            return
        asked = len(output.prompt_token_ids or ())
        for vote, one in zip(votes, output.outputs, strict=True):
            yield vote, Answer(one.text, asked, len(one.token_ids), finish_reason=one.finish_reason)

    def sampling(self, votes: int) -> Any:
        """Return vLLM's sampling parameters for so many answers to one prompt."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        asked = self.protocol
        return SamplingParams(
            n=votes,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=0,
            min_p=0.0,
            repetition_penalty=asked.repetition_penalty,
            max_tokens=asked.max_tokens,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def start(self, engine: Callable[..., Any]) -> Any:
        """Return ``engine(**arguments)`` of this judge's settings, with what a CPU needs.

        Its processes end with this one, however it ends.
        """
        arguments = {
            "enable_prefix_caching": True,
            "seed": self.protocol.seed,
            # vLLM's own default makes bfloat16 of single precision, which transformers keeps.
            "dtype": checkpoint_dtype(self.folder),
            **self._arguments,
        }
        token = os.environ[janitor.TOKEN] = uuid.uuid4().hex
        scratch = Path(tempfile.mkdtemp(prefix="r1reward-judge-"))
        self._janitor = janitor.start(token, scratch)
        try:
            return self._start(engine, arguments)
        finally:
            del os.environ[janitor.TOKEN]  # the engine's processes have it

    def _start(self, engine: Callable[..., Any], arguments: dict[str, object]) -> Any:
        if count_gpus() > 0:
            return engine(model=str(self.folder), **arguments)
        for name, value in _CPU_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        arguments.setdefault("enforce_eager", True)
        started = engine(model=str(self.folder), **arguments)
        # The engine has its threads; more than one for the pictures here would disturb them.
        os.environ["OMP_NUM_THREADS"] = "1"
        return started

    async def close(self) -> None:
        """Stop the engine's processes."""
        if "_engine" in self.__dict__:
            self._engine.shutdown()
        if self._janitor is not None:
            self._janitor.communicate()

    async def _finished(self, prompt: Any, votes: int) -> Any:
        outputs = await self._submitted(prompt, votes)
        del prompt  # its pictures need not wait for the answer
        return await outputs.get()

    async def _submitted(self, prompt: Any, votes: int) -> Any:
        # Not generate(): that would scale and hash pictures in the event loop.
        [rendered] = await self._engine.renderer.render_cmpl_async([prompt])
        return await self._engine.add_request(uuid.uuid4().hex, rendered, self.sampling(votes))

    def _prompt(self, pair: Pair) -> Any:
        from vllm.inputs import TokensPrompt

        with self._lock:
            processor = self._processor
        text, images, videos = self.prepare(processor, pair)
        with self._lock:
            ids = processor.tokenizer(text)["input_ids"]
        media = {"image": images, "video": videos}
        prompt = TokensPrompt(
            prompt_token_ids=ids,
            multi_modal_data={kind: found for kind, found in media.items() if found},
        )
        if videos:
            prompt["mm_processor_kwargs"] = {"do_sample_frames": False}
        return prompt

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        return AutoProcessor.from_pretrained(self.folder)

    @cached_property
    def _engine(self) -> Any:
        return self.start(_async_engine)


def _async_engine(**arguments: object) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    options = AsyncEngineArgs(enable_log_requests=False, disable_log_stats=True, **arguments)
    # As offline: batches for throughput, up to eight times those that it takes otherwise.
    return AsyncLLM.from_engine_args(options, usage_context=UsageContext.LLM_CLASS)
