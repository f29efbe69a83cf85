"""Errors that the person at the keyboard can mend. Binaries print them without a traceback."""


class UserError(ValueError):
    """A wrong setting or input. The message says what, where, and the remedy."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another architecture."""


class WorkdirError(UserError):
    """A work directory that is not writable, in use, or holds a different run."""


class Interrupted(Exception):
    """The run was asked to stop and has saved itself; the same command continues it."""
