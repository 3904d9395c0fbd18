"""Check by a model that verl serves within the run, behind its own router."""

from collections.abc import Sequence
from typing import Any

from r1reward.consistency.base import Agreement, Case
from r1reward.consistency.openai import OpenAICheck
from r1reward.core.errors import ConfigError

# verl's router asks for no key, and somebody else's is not for its ears.
_NO_KEY = "R1REWARD_HOSTED_CHECK_KEY"


class HostedCheck(OpenAICheck):
    """Asks the router that verl starts for ``reward.reward_model``; else an :class:`OpenAICheck`.

    The address exists once the run is up: verl gives it to the reward manager, and the manager
    to this class. Without it the settings are checked all the same, which preflight does.

    Args:
        model: the model's path, by which verl's servers know it (``reward.reward_model``).
        router: ``host:port`` of verl's router.
        settings: as for :class:`OpenAICheck`.

    Raises:
        ConfigError: for what cannot work.
    """

    def __init__(self, model: str | None, router: str | None = None, **settings: Any) -> None:
        address = f"http://{router or 'no-router'}/v1"
        super().__init__(
            model=model,
            base_url=address,
            key_env=_NO_KEY,
            tokens_field="max_tokens",  # as vLLM has it
            input_price=0.0,
            output_price=0.0,
            **settings,
        )
        self._router = router

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Check all ``cases`` at once.

        Raises:
            ConfigError: without a router, as outside of a run.
        """
        if self._router is None and cases:
            raise ConfigError(
                "consistency=hosted answers within a training run alone, which serves it "
                "(reward.reward_model.enable=true); elsewhere choose consistency=openai, with the "
                "address of a server as consistency.base_url"
            )
        return await super().check(cases)
