"""Lengths of prompts and answers in tokens, from the plan's assumptions and the data's limits."""

from dataclasses import dataclass

from omegaconf import DictConfig

from r1reward.plan.model import Model
from r1reward.plan.setup import Training


@dataclass(frozen=True)
class Lengths:
    """Tokens: of a mean prompt (``image`` among them), a mean answer, the longest answer of a step.

    ``padding`` is tokens computed over tokens there are.
    """

    prompt: float
    image: float
    response: float
    longest: float
    padding: float

    @property
    def sequence(self) -> float:
        """Prompt and answer."""
        return self.prompt + self.response

    @property
    def image_share(self) -> float:
        """Share of a sequence that is image."""
        return self.image / self.sequence


def lengths_of(setup: Training, model: Model, work: DictConfig) -> Lengths:
    """Return the lengths; none is over the limits of the data."""
    response = float(min(work.response_tokens, setup.response_limit))
    room = float(min(setup.prompt_limit, setup.longest - response))
    text = min(float(work.text_tokens), room)
    image = room if setup.max_pixels is None else float(model.image_tokens(setup.max_pixels))
    image = min(work.images * image, room - text)
    longest = float(min(work.tail * response, setup.response_limit))
    padding = float(work.padding) if setup.padded else 1.0
    return Lengths(text + image, image, response, longest, padding)
