"""Errors of a download."""

from r1reward.core.errors import UserError


class FetchError(UserError):
    """A download that cannot be used, with what to do."""


class UnreachableError(FetchError):
    """Nobody answers; what is on the disk may still do."""
