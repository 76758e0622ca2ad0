from agents.models.agent import Agent, AgentArchive, AgentBlock, AgentSecret, AgentTool
from agents.models.conversation import ContextEntry, Conversation
from agents.models.group import Group, GroupMember
from agents.models.message import Message
from agents.models.run import Run, RunEvent, RunLease
from agents.models.step import ProviderTrace, Step

__all__ = [
    "Agent",
    "AgentArchive",
    "AgentBlock",
    "AgentSecret",
    "AgentTool",
    "ContextEntry",
    "Conversation",
    "Group",
    "GroupMember",
    "Message",
    "ProviderTrace",
    "Run",
    "RunEvent",
    "RunLease",
    "Step",
]
