"""The one exception that data code raises for anything a user can mend."""


class DataError(ValueError):
    """Bad data, options or folder. The message says what is wrong, where, and the remedy."""
