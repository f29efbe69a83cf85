"""Errors that the person at the keyboard can mend. Binaries print them without a traceback."""


class UserError(ValueError):
    """A wrong setting or input. The message says what, where, and the remedy."""


class ConfigError(UserError):
    """A config that nothing can be built from: the message names key, value and what is allowed."""

    def __init__(self, message: str):
        super().__init__(f"bad config: {message}")


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another architecture."""


class WorkdirError(UserError):
    """An output folder that is not writable, in use, somebody else's, or holds something else."""


class DamagedFile(UserError):
    """A file that this package wrote and that no longer holds what was written."""


class Interrupted(Exception):
    """The run was asked to stop and has saved itself; the same command continues it."""
