"""Built-in tools that need an agent's conversations."""


def register() -> None:
    """Put them into the registry."""
