"""Built-in tools of this name."""


def register() -> None:
    """Put them into the registry."""
