"""The adapters: the only Python that speaks SQL or Redis. Each class implements a port of its context."""
