"""Errors that are the user's to mend. The command line prints them as one line and exits with code 2."""


class InputError(ValueError):
    """A setting, name or path that cannot work; the message names the field, the value and the way out."""
