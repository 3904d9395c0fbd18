"""Compare two responses from Python: ``from r1reward import Judge``."""

import asyncio
import importlib.util
import os
import re
import threading
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from r1reward.core.errors import UserError
from r1reward.core.given import (
    ArgumentError,
    GivenContent,
    GivenImage,
    content_given,
    images_given,
    video_given,
)
from r1reward.core.pair import Pair
from r1reward.judge import base
from r1reward.judge.comparison import Comparison, comparison_of

_T = TypeVar("_T")
_SAMPLING = ("temperature", "top_p", "repetition_penalty", "max_tokens", "seed")


class Judge:
    """A reward model that compares two responses to a question about images or a video.

    The model is loaded by the first comparison and stays until :meth:`close`::

        with Judge("owner/model") as judge:
            result = judge.compare("What is shown?", ("A cat.", "A dog."), images=["photo.jpg"])
        print(result.choice, result.agrees)
    """

    def __init__(self, model: str | None = None, judge: str | None = None, **settings: Any) -> None:
        """Choose a model and what runs it.

        Args:
            model: folder of a Hugging Face model, or its hub name; for ``judge="openai"`` the name
                that the endpoint knows it by.
            judge: a file of conf/judge, such as ``hf`` (transformers) or ``vllm``. None is
                ``vllm`` where there is a GPU and vLLM is installed, else ``hf``.
            settings: keys of that file, and of the sampling: ``temperature``, ``top_p``,
                ``repetition_penalty``, ``max_tokens`` and ``seed``. The defaults are those of
                conf/judge and of conf/protocol/default.yaml.

        Raises:
            ArgumentError: naming the argument that cannot be used.
        """
        self._backend = _backend(judge or _runner(), model, settings)
        self._loop = asyncio.new_event_loop()
        # A thread of its own: engines keep one event loop, and a notebook has its own already.
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, base_url: str, model: str, **settings: Any) -> Self:
        """Return a judge behind an OpenAI-compatible endpoint.

        Args:
            base_url: such as ``http://localhost:8000/v1``.
            model: the name that the endpoint knows the model by.
            settings: keys of conf/judge/openai.yaml and of the sampling.
        """
        return cls(model, "openai", base_url=base_url, **settings)

    def compare(
        self,
        question: GivenContent,
        responses: Sequence[GivenContent],
        *,
        images: GivenImage | Iterable[GivenImage] = (),
        video: str | Path | None = None,
        both_orders: bool = True,
    ) -> Comparison:
        """Return which of two responses is better.

        Args:
            question: a text; or texts and images in order.
            responses: the two responses, likewise.
            images: what the question is about: paths, data URIs, bytes of files, PIL images.
            video: what the question is about: a folder of frames.
            both_orders: ask again with the responses exchanged, so that a liking for one place
                cannot decide.

        Raises:
            ArgumentError: naming the argument that cannot be used.
            ImageError: naming an image that cannot be opened.
        """
        if isinstance(responses, str | bytes) or len(responses) != 2:
            raise ArgumentError("responses: give exactly two, such as (first, second)")
        first, second = (
            content_given(f"responses[{n}]", response) for n, response in enumerate(responses)
        )
        shown = images_given(images) + (() if video is None else (video_given(video),))
        pair = Pair(content_given("question", question), (first, second), shown)
        pairs = (pair, pair.swapped()) if both_orders else (pair,)
        return comparison_of(self._run(self._replies(pairs)))

    def close(self) -> None:
        """Release the model; the judge cannot be used afterwards."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._backend.close())
            self._run(self._loop.shutdown_default_executor())
        finally:
            del self._backend  # now, while its libraries are there: some tidy up when they go
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        """Return the judge."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the judge."""
        self.close()

    async def _replies(self, pairs: Iterable[Pair]) -> tuple[base.Reply, ...]:
        return tuple(await asyncio.gather(*map(self._reply, pairs)))

    async def _reply(self, pair: Pair) -> base.Reply:
        [reply] = [reply async for _, reply in self._backend.judge(pair, [0])]
        return reply

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._loop.is_closed():
            coroutine.close()
            raise ArgumentError("this judge is closed; make a new one")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # interrupted by a person: the answers are not wanted any more
            raise


def _runner() -> str:
    """Return what runs a model on this machine."""
    from r1reward.machine.gpus import count_gpus

    return "vllm" if count_gpus() and importlib.util.find_spec("vllm") else "hf"


def _backend(judge: str, model: str | None, settings: dict[str, Any]) -> base.Judge:
    from omegaconf import OmegaConf

    from r1reward.config.compose import CONF
    from r1reward.judge.build import build_judge
    from r1reward.judge.protocol import Protocol

    names = sorted(path.stem for path in (CONF / "judge").glob("*.yaml"))
    if judge not in names:
        raise ArgumentError(f"judge={judge!r}: give one of {', '.join(names)}")
    own: Any = OmegaConf.load(CONF / "judge" / f"{judge}.yaml")
    sampling: Any = OmegaConf.load(CONF / "protocol" / "default.yaml")
    given = settings if model is None else {"model": str(model), **settings}
    if "model" in own and model is None:
        raise ArgumentError(f"model: judge={judge} needs one, a folder or a name")
    for name, value in given.items():
        if name not in own and name not in _SAMPLING:
            known = sorted({*map(str, own), *_SAMPLING} - {"_target_"})
            raise ArgumentError(f"{name}: judge={judge} has no such setting, but {known}")
        if name not in own and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ArgumentError(f"{name}={value!r}: give a number")
        (own if name in own else sampling)[name] = value
    try:
        protocol = Protocol(**{field.name: sampling[field.name] for field in fields(Protocol)})
        return build_judge(own, protocol, Path(os.sep))
    except UserError as error:
        raise ArgumentError(re.sub(r"\b(judge|protocol)\.", "", str(error))) from None
