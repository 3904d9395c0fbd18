"""Base classes of all errors; a user error tells a person what to change."""


class R1RewardError(Exception):
    """Base of every error that this package raises on purpose."""


class UserError(R1RewardError, ValueError):
    """Input that cannot be used. The message names it and says what to change.

    A command that meets one prints the message and exits with status 2, without a trace.
    """


class ConfigError(UserError):
    """A configuration that cannot run."""
