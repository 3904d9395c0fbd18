"""Rewards: pure functions from one verdict to its reward parts, named by ``reward.function``.

``judge_health`` watches the judge that they rely on.
"""
