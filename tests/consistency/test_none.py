"""Training without a consistency check."""

import asyncio

from r1reward.consistency.base import Agreement, Case
from r1reward.consistency.none import NoCheck


def test_it_abstains_without_failing():
    assert asyncio.run(NoCheck().check([Case("Response 1 is better.", 1)])) == [Agreement(None)]
