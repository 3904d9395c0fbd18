"""Rewards: pure functions from one verdict to its reward parts, named by ``reward.function``."""
