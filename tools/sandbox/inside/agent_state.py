"""`agent_state`: the agent as a tool of an older client knows it. What it changes in its memory is told to the server."""

from __future__ import annotations

from typing import Any


class Record:
    """A JSON object whose keys are attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            setattr(self, name, _record(value))

    def model_dump(self) -> dict[str, Any]:
        """The object as it is now."""
        return {name: _plain(value) for name, value in vars(self).items()}


class Memory(Record):
    """The blocks of the agent."""

    blocks: list[Any]

    def get_block(self, label: str) -> Any:
        """The block of that label. Raises KeyError."""
        for block in self.blocks:
            if block.label == label:
                return block
        raise KeyError(f"the agent has no memory block {label!r}")

    def list_block_labels(self) -> list[str]:
        """Labels in the order of the prompt."""
        return [block.label for block in self.blocks]

    def update_block_value(self, label: str, value: str) -> None:
        """Set the value. Raises KeyError, ValueError."""
        if not isinstance(value, str):
            raise ValueError("the value of a block is a text")
        self.get_block(label).value = value


class AgentState(Record):
    """The agent, without its tools and rules."""

    memory: Memory

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__({name: value for name, value in fields.items() if name != "memory"})
        self.memory = Memory(fields.get("memory") or {"blocks": []})
        self._before = self._values()

    def changed_blocks(self) -> dict[str, str]:
        """Label -> value of the blocks that are not as they were."""
        return {
            label: value
            for label, value in self._values().items()
            if self._before.get(label) not in (None, value)
        }

    def _values(self) -> dict[str, str]:
        return {block.label: block.value for block in self.memory.blocks if isinstance(block.value, str)}


def _record(value: Any) -> Any:
    if isinstance(value, dict):
        return Record(value)
    return [_record(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.model_dump()
    return [_plain(each) for each in value] if isinstance(value, list) else value
