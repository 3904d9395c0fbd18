"""Scoring without the cost of its intervals."""

import pytest


@pytest.fixture
def few_samples(monkeypatch):
    """Intervals are not the matter here: make them cheap."""
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)
