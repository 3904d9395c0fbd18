"""The live line: how far, how fast, and what an endpoint does wrong meanwhile."""

import io
from types import SimpleNamespace

from rich.console import Console

from r1reward.endpoint.fault import RequestFault, Trouble
from r1reward.machine.ticker import Ticker


def line(**watched):
    """The last line of a ticker, without the time."""
    trouble = watched.pop("trouble", Trouble())
    given = {"asked": 0, "reused": 0, "done": 0.0, "faults": [], **watched}
    written = io.StringIO()
    watching = SimpleNamespace(judge=SimpleNamespace(trouble=trouble), **given)
    with Ticker(Console(file=written, width=1000), watching, 10):
        pass
    return written.getvalue().strip().partition(" ")[2]


def test_nothing_wrong_is_nothing_said() -> None:
    assert line() == "0/10 items, 0 answers (0.0/s)"


def test_what_is_known_is_shown() -> None:
    shown = line(reused=3, done=2.0, faults=[{}])
    assert shown == "2/10 items, 0 answers (0.0/s), 3 from the journal, 1 failed"


def test_retries_and_the_last_fault_are_shown_before_anything_failed_for_good() -> None:
    fault = RequestFault("server", "HTTP 500: [red]broken[/]", 500)
    assert line(trouble=Trouble(7, fault)).endswith(
        "(0.0/s), 7 retries, last fault server: HTTP 500: [red]broken[/]"
    )
    assert line(trouble=Trouble(0, fault)).endswith(", last fault server: HTTP 500: [red]broken[/]")


def test_a_long_fault_leaves_a_line_that_can_be_read() -> None:
    assert len(line(trouble=Trouble(1, RequestFault("server", "x" * 1000, 500)))) < 250
