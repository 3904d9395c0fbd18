"""What can go wrong with a download."""


class FetchError(ValueError):
    """A download that cannot be used, with what to do."""


class UnreachableError(FetchError):
    """Nobody answers; what is on the disk may still do."""
