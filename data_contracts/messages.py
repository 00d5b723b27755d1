"""Messages of a conversation, in one form for all sources."""

from enum import StrEnum

from data_contracts.record import Record


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolCall(Record):
    """A call as it was asked for.

    Example:
        ToolCall(id="call_1", name="python", arguments='{"code":"1 + 1"}')
    """

    id: str
    """Unique inside its attempt; the result carries the same id."""
    name: str
    """Empty for a malformed call."""
    arguments: str
    """JSON text of an object, verbatim where a log or model wrote it; the raw text of the call for a malformed one."""


class Message(Record):
    """One message. `content` is always a plain string: absent or null content is the empty string.

    Example:
        Message(role=Role.USER, content="What is 6 times 7?")
    """

    role: Role
    content: str = ""
    reasoning: str | None = None
    """What the model thought before it spoke; None where the source does not part it from the content."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of an assistant; a simulated user's calls too (tau2), which no agent sees."""
    tool_call_id: str | None = None
    """For role tool: the id of the call that this answers; None where the source does not say."""
    name: str | None = None
    """For role tool: the tool's name."""
    requestor: Role = Role.ASSISTANT
    """For role tool: who made the call. A result for the user side never reaches the agent's tokens."""
