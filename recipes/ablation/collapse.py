"""Definition of a collapsed run."""

from collections.abc import Sequence

from r1reward.recipes.ablation.rows import Step

FORMAT, STEPS = 0.5, 5  # the format is lost below this share, for so many steps in a row
LENGTH = 0.95  # responses have run off at this share of the limit, on average, in the last step
CHANCE = 0.5  # accuracy of a coin


def flags(steps: Sequence[Step], accuracy: float, limit: int) -> list[str]:
    """Return what went wrong with a run; a run with any flag has collapsed.

    ``not finite``: a loss or gradient was NaN or infinite (the update is skipped, as verl does).
    ``format lost``: fewer than half of the responses readable for five steps in a row.
    ``too long``: the last step's responses fill 95 % of the limit on average.
    ``chance``: final accuracy on the validation pairs is no better than a coin's.

    Args:
        steps: the run's steps, with ``finite``, ``format`` and ``length``.
        accuracy: on the validation pairs, at the end.
        limit: most tokens of a response.
    """
    longest = run = 0
    for step in steps:
        run = run + 1 if float(step["format"]) < FORMAT else 0
        longest = max(longest, run)
    found = {
        "not finite": not all(step["finite"] for step in steps),
        "format lost": longest >= STEPS,
        "too long": bool(steps) and float(steps[-1]["length"]) >= LENGTH * limit,
        "chance": accuracy <= CHANCE,
    }
    return [name for name, there in found.items() if there]
