from agents.models.agent import Agent, AgentArchive, AgentBlock, AgentSecret, AgentTool
from agents.models.agent_version import AgentVersion
from agents.models.compaction import CompactedEntry, Compaction
from agents.models.conversation import ContextEntry, Conversation, ConversationBlock, SharedMessage
from agents.models.group import Group, GroupMember
from agents.models.message import Message, MessageVector
from agents.models.run import Run, RunEvent, RunLease
from agents.models.step import ProviderTrace, Step

__all__ = [
    "Agent",
    "AgentArchive",
    "AgentBlock",
    "AgentSecret",
    "AgentTool",
    "AgentVersion",
    "CompactedEntry",
    "Compaction",
    "ContextEntry",
    "Conversation",
    "ConversationBlock",
    "Group",
    "GroupMember",
    "Message",
    "MessageVector",
    "ProviderTrace",
    "Run",
    "RunEvent",
    "RunLease",
    "SharedMessage",
    "Step",
]
