from memory.models.archive import Archive
from memory.models.block import Block
from memory.models.block_version import BlockVersion
from memory.models.passage import Passage, PassageVector

__all__ = ["Archive", "Block", "BlockVersion", "Passage", "PassageVector"]
