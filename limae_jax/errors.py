"""Errors that the command line prints as one line."""


class InputError(ValueError):
    """An invalid setting, name or path; the message gives the field, the value and the fix.

    The command line exits with code 2.
    """


class GameError(RuntimeError):
    """A game in a worker process kept failing; the message says how often, and gives its last error.

    The command line exits with code 1.
    """
