"""Checks that reasoning and answer agree; the group ``consistency`` chooses one."""
