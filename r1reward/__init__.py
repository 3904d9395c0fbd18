"""R1-Reward: train, judge and ship multimodal reward models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1reward.api import Judge
    from r1reward.core.pair import Media, Pair, Preference
    from r1reward.core.prompt import build_messages, render_prompt
    from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict

__version__ = "0.1.0"
__all__ = [
    "Judge",
    "Media",
    "Pair",
    "ParseFailure",
    "Preference",
    "Verdict",
    "build_messages",
    "parse_verdict",
    "render_prompt",
]
_HOMES = {
    "r1reward.api": ("Judge",),
    "r1reward.core.pair": ("Media", "Pair", "Preference"),
    "r1reward.core.prompt": ("build_messages", "render_prompt"),
    "r1reward.core.verdict": ("ParseFailure", "Verdict", "parse_verdict"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import r1reward`` itself loads nothing."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
