"""A run that ends well, and its report in a browser."""

import pytest
from support.run_page import HOSTILE, RIGHT, Run


@pytest.fixture(scope="package")
def full(tmp_path_factory):
    """A run that ends well, with two steps whose gradient is broken."""
    run = Run(tmp_path_factory.mktemp("full"))
    made = {"revision": "abc123", "machine": "8 x H200", "versions": {"verl": "0.9.1"}}
    run.started(0, **made)
    run.append((60, "event", {"event": "training", "step": 0, "steps": 6}))
    run.validated(70, 0, 12)
    grads = [1.0, 2.0, "nan", 4.0, "inf", 6.0]
    for number, grad in enumerate(grads, start=1):
        run.step(
            80 + 10 * number, number, reward__acc__mean=number / 8,
            reward__final__mean=number / 4, actor__grad_norm=grad, consistency__checked=8.0,
            response_length__mean=100.0, response_length__min=50.0, response_length__max=200.0,
            advantage__filtered=0.25, timing_s__step=10.0, timing_s__gen=6.0,
            timing_s__update_actor=3.0,
        )  # fmt: skip
    run.validated(150, 6, 22)
    run.append((200, "event", {"event": "finished", "step": 6}))
    run.answers(0, RIGHT[0])
    run.answers(6, RIGHT[6], said=HOSTILE)
    run.report()
    return run


@pytest.fixture
def page(full, browser):
    return browser.open(full.dir.report)
