"""Faults: the words for everything that can keep a question from being answered."""

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "connection",  # nobody answers at the address, or the connection broke
    "timeout",  # no answer in time
    "rate_limit",  # HTTP 429
    "server",  # HTTP 5xx, 408, 409 or 425, or an error in place of an answer
    "refused",  # another HTTP status, or a prompt that is too long: asking again would not help
    "filtered",  # the endpoint's content filter withheld the answer
    "nonsense",  # a reply that is no chat completion
    "unparsed",  # an answer without the verdict that was asked for
    "down",  # nothing was sent: no address is in service
    "media",  # nothing was sent: an image or video cannot be read
    "error",  # a mistake in the code of the asker
]

# Asked again until the deadline. Of the others, nonsense and unparsed are asked again ``retries``
# times, and the rest never.
PASSING: tuple[FaultKind, ...] = ("connection", "timeout", "rate_limit", "server")
UNUSABLE: tuple[FaultKind, ...] = ("nonsense", "unparsed")


@dataclass(frozen=True, slots=True)
class Fault:
    """No answer, for good: ``kind`` is a word to count by, ``detail`` says what happened."""

    kind: FaultKind
    detail: str


@dataclass(frozen=True, slots=True)
class RequestFault(Fault):
    """A request without an answer; ``detail`` holds the endpoint's own words.

    Attributes:
        status: of HTTP; 0 without a reply. For an error inside a 200, the status that it names.
        wait: seconds that the endpoint asks to be left alone.
    """

    status: int = 0
    wait: float = 0.0


@dataclass(slots=True)
class Trouble:
    """What an endpoint that is being asked does wrong, for a live line and for advice.

    Attributes:
        retries: requests that repeated an earlier one.
        fault: the last one; None while there was none.
        url: address that it came from.
    """

    retries: int = 0
    fault: RequestFault | None = None
    url: str = ""

    @property
    def last(self) -> str:
        """The last fault in words; empty while there was none."""
        return f"{self.fault.kind}: {self.fault.detail}" if self.fault else ""
