"""The types of agents: what each is for, how it answers, and what it starts with (spec/agent-loop.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.models.agent import Agent, AgentType
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, Unprocessable


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFacts:
    """One type, for the code and, in `title`, `does` and `fits`, for people."""

    title: str
    does: str
    fits: str
    #: True: it acts by tool calls only, speaks by `send_message`, and goes on when a call asks for it.
    #: False: its text is its answer, and it goes on as long as it calls tools.
    is_heartbeat: bool = True
    #: Attached on create unless refused; archival tools are attached by name.
    tools: tuple[str, ...] = ()
    #: Whether it is born with a greeting and the note that somebody has come.
    has_first_messages: bool = True
    #: Whether its prompt shows its memory blocks.
    shows_blocks: bool = True
    #: Whether its prompt numbers the lines of blocks, for models of Anthropic.
    numbers_lines: bool = False
    #: Whether every request begins with an empty context, whatever is asked.
    always_clears: bool = False


_LEGACY_TOOLS = (
    "send_message",
    "conversation_search",
    "core_memory_append",
    "core_memory_replace",
    "memory",
    "memory_apply_patch",
)

#: In the order in which people are offered them.
FACTS: Mapping[AgentType, TypeFacts] = {
    AgentType.LETTA_V1: TypeFacts(
        title="Letta agent",
        does="Its text is its answer. It calls tools in between, and goes on until it has nothing more to do.",
        fits="The right one for new agents, with any model that can call tools.",
        is_heartbeat=False,
        tools=("conversation_search", "memory_replace", "memory_insert"),
        has_first_messages=False,
        numbers_lines=True,
    ),
    AgentType.SLEEPTIME: TypeFacts(
        title="Background memory agent",
        does="Reads what was said elsewhere and keeps shared memory blocks in order. Nobody reads its answers.",
        fits="For memory that is tended beside a conversation, by another model or less often.",
        is_heartbeat=False,
        tools=("memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"),
        has_first_messages=False,
        numbers_lines=True,
    ),
    AgentType.MEMGPT_V2: TypeFacts(
        title="MemGPT agent, second edition",
        does="Thinks in its text, which nobody sees, and speaks by send_message. Edits memory line by line.",
        fits="For models that answer badly in plain text, and for agents that were built this way.",
        tools=("send_message", "conversation_search", "memory_replace", "memory_insert"),
        numbers_lines=True,
    ),
    AgentType.MEMGPT: TypeFacts(
        title="MemGPT agent",
        does="The first design: it acts by one tool call at a time, speaks by send_message, and asks for a heartbeat to go on.",
        fits="For agents that were built this way, and for models that need every step forced.",
        tools=_LEGACY_TOOLS,
    ),
    AgentType.REACT: TypeFacts(
        title="ReAct agent",
        does="Thinks and acts in turns with the tools that you give it. It has no memory tools, and sees no memory blocks.",
        fits="For tasks with tools, where nothing is to be remembered.",
        shows_blocks=False,
    ),
    AgentType.WORKFLOW: TypeFacts(
        title="Workflow agent",
        does="Carries out one task for each request and forgets it: every request begins with an empty context.",
        fits="For the same steps over and over, led by tool rules.",
        shows_blocks=False,
        always_clears=True,
    ),
    AgentType.VOICE_CONVO: TypeFacts(
        title="Voice agent",
        does="Speaks in short sentences that are read aloud; its memory is kept in the background.",
        fits="For spoken conversation, where an answer must come fast.",
        tools=("send_message", "search_memory"),
    ),
    AgentType.VOICE_SLEEPTIME: TypeFacts(
        title="Background memory of a voice agent",
        does="Stores what leaves a spoken conversation, and rewrites what is known about the person.",
        fits="As the partner of a voice agent.",
        tools=("store_memories", "rethink_user_memory", "finish_rethinking_memory"),
        has_first_messages=False,
    ),
    AgentType.SPLIT_THREAD: TypeFacts(
        title="Split-thread agent",
        does="Works as a MemGPT agent does.",
        fits="Only for agents of this type that exist elsewhere.",
        tools=_LEGACY_TOOLS,
    ),
}

#: Those that keep the memory of others.
BACKGROUND_TYPES = (AgentType.SLEEPTIME, AgentType.VOICE_SLEEPTIME)
#: For an agent whose memory another agent edits, in place of those of its type.
_SLEEPTIME_TOOLS = ("send_message", "conversation_search", "archival_memory_search")
#: The tools by which agents write to each other.
MULTI_AGENT_TOOLS = (
    "send_message_to_agent_and_wait_for_reply",
    "send_message_to_agents_matching_tags",
    "send_message_to_agent_async",
)


def facts_of(agent_type: str) -> TypeFacts:
    """The facts of a type that `check_type` has let through."""
    return FACTS[AgentType(agent_type)]


def as_caller(agent: Agent) -> Caller:
    """The agent itself, as its tools act."""
    return Caller(
        workspace_id=agent.workspace_id,
        id=agent.id,
        name=agent.name,
        role="editor",
        kind="agent",
        is_background=agent.agent_type in BACKGROUND_TYPES,
    )


def check_type(agent_type: str, *, enable_sleeptime: bool | None) -> None:
    """Raise Invalid for a type that there is not, Unprocessable for a voice agent without background memory."""
    if agent_type not in AgentType.values:
        raise Invalid(f"agent_type must be one of {', '.join(AgentType.values)}, not {agent_type!r}.")
    if agent_type == AgentType.VOICE_CONVO and not enable_sleeptime:
        raise Unprocessable(
            f"An agent of type {agent_type!r} needs enable_sleeptime: true; its memory is kept in the background."
        )


def base_tool_names(agent_type: str, *, enable_sleeptime: bool | None) -> tuple[str, ...]:
    """The tools that a new agent gets unless it is told otherwise."""
    own = facts_of(agent_type)
    if not enable_sleeptime or agent_type in (*BACKGROUND_TYPES, AgentType.VOICE_CONVO):
        return own.tools
    return _SLEEPTIME_TOOLS if own.is_heartbeat else _SLEEPTIME_TOOLS[1:]
