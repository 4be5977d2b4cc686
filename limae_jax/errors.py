"""Errors that the command line prints as one line."""


class InputError(ValueError):
    """A setting, name or path that cannot work; the message names the field, the value and the way out.

    The command line exits with code 2.
    """


class GameError(RuntimeError):
    """A game in a process of its own kept failing; the message says how often, and what it said last.

    The command line exits with code 1.
    """
