"""Consistency: does the reasoning conclude what the answer says? Chosen by ``consistency``."""
