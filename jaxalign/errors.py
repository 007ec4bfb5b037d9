"""The one exception that is the user's to mend."""


class InputError(Exception):
    """Bad input: the message names the file (or key) and the remedy.

    The commands print it as a single line and exit with code 2; everything else is a bug and
    keeps its traceback.
    """
