class CommandError(Exception):
    """A command cannot do what it was asked; the one sentence is all that the user needs."""
