"""No check: the consistency term of the reward is switched off."""

from collections.abc import Sequence

from r1reward.consistency.base import Agreement, Case


class NoCheck:
    """Leaves every case unjudged, which is no failure: consistency is then worth 0 for all."""

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Return ``Agreement(None)`` for every case."""
        return [Agreement(consistent=None) for _ in cases]
