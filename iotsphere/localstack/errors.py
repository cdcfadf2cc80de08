class LocalStackError(Exception):
    """The local servers cannot be had; the text is one sentence that tells the user what to do."""
