from memory.models.archive import Archive
from memory.models.block import Block
from memory.models.block_checkpoint import BlockCheckpoint
from memory.models.block_policy_change import BlockPolicyChange
from memory.models.block_proposal import BlockProposal
from memory.models.block_version import BlockVersion
from memory.models.passage import Passage, PassageVector

__all__ = [
    "Archive",
    "Block",
    "BlockCheckpoint",
    "BlockPolicyChange",
    "BlockProposal",
    "BlockVersion",
    "Passage",
    "PassageVector",
]
