"""An attempt: one run of one policy at one task, with everything that happened."""

from enum import StrEnum
from typing import ClassVar

from data_contracts.arrow_types import Float32, Int8, Int32
from data_contracts.ids import stable_key
from data_contracts.messages import Message
from data_contracts.record import Record


class CallStatus(StrEnum):
    """How a call ended. Law 3: the model's failures, the tool's failures and the infrastructure's are different types;
    an infrastructure failure is no status at all (it is retried, then voids the attempt)."""

    OK = "ok"
    MALFORMED = "malformed"
    """Model: what stands between the call markers cannot be parsed."""
    UNKNOWN_TOOL = "unknown_tool"
    """Model: no tool of that name was declared."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """Model: the arguments do not satisfy the tool's JSON Schema."""
    OVER_LIMIT = "over_limit"
    """Model: more calls than the task allows; not executed."""
    ERROR = "error"
    """Tool: it ran and said no (an exception, a non-zero exit)."""
    TIMEOUT = "timeout"
    """Tool: wall or CPU time ran out."""
    RESOURCE = "resource"
    """Tool: memory, output or another limit was hit, or it was killed by a signal."""
    UNKNOWN = "unknown"
    """Recorded elsewhere; the log does not say."""


MODEL_FAILURES = frozenset(
    {CallStatus.MALFORMED, CallStatus.UNKNOWN_TOOL, CallStatus.INVALID_ARGUMENTS, CallStatus.OVER_LIMIT}
)
TOOL_FAILURES = frozenset({CallStatus.ERROR, CallStatus.TIMEOUT, CallStatus.RESOURCE})


class StopReason(StrEnum):
    """Why an attempt ended."""

    END = "end"
    """The model gave its final message."""
    LENGTH = "length"
    """max_tokens was reached while the model wrote."""
    MAX_TURNS = "max_turns"
    TOOL_OVERFLOW = "tool_overflow"
    """A tool result no longer fitted into max_tokens."""
    TOOL_TIMEOUT = "tool_timeout"
    """The deadline of the attempt passed inside tools."""
    ENVIRONMENT_ERROR = "environment_error"
    """Infrastructure: the attempt is void."""
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    """Recorded elsewhere; the log does not say."""


class Outcome(StrEnum):
    """What the attempt is worth. Not a bool: there are more than two answers."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNLABELLED = "unlabelled"
    """Nobody judged it, or the verifier itself failed."""
    VOID = "void"
    """Infrastructure failed or the record is a crashed run: not an attempt at all."""


class Origin(StrEnum):
    """Where the tokens come from."""

    SAMPLED = "sampled"
    """Our engine produced the ids."""
    RENDERED = "rendered"
    """A recorded or API trajectory without ids, rendered once per student tokenizer."""


class RepeatKind(StrEnum):
    """What a further attempt at the same task by the same policy is. Only independent ones make a posterior."""

    INDEPENDENT = "independent"
    SEED = "seed"
    """Same settings, another seed, from a log that does not prove independence (e.g. near-greedy decoding)."""
    BUDGET = "budget"
    """The same run under another budget of turns."""
    COPY = "copy"
    """Byte-identical to an earlier attempt."""


class Flag(StrEnum):
    """A trap that an importer recognised in a recorded attempt. It decides nothing: recipes do."""

    CRASHED_RUN = "crashed_run"
    """The run broke down before the model could act, or end; the log scores it like a failure. The outcome is VOID."""
    MISSING_TRANSCRIPT = "missing_transcript"
    """There is a reward, but nothing of what was done for it."""
    MISSING_PROMPT = "missing_prompt"
    """The log lacks the instructions that the model read, or all of its prompt."""
    BROKEN_GRADER = "broken_grader"
    """The log says wrong to an answer that equals the reference letter for letter, or is its number (the outcome is
    UNLABELLED), or right to one that is another number or option than the reference (WRONG)."""
    UNVERIFIED = "unverified"
    """The log's success is the model's own claim. The outcome is UNLABELLED."""
    HEURISTIC_VERDICT = "heuristic_verdict"
    """The log holds no verdict: the importer compared the answer with the reference."""
    SHAPED_REWARD = "shaped_reward"
    """The total reward is no verdict: terms for turns, format or tools are added to it."""
    PARTIAL_REWARD = "partial_reward"
    """The reward lies strictly between none and full."""
    INVENTED_OBSERVATION = "invented_observation"
    """The model wrote a tool's observation itself."""
    ORACLE_HINT = "oracle_hint"
    """An observation tells what only the grader knows: that an answer was wrong, or a hidden test."""
    INJECTION_SUCCEEDED = "injection_succeeded"
    """The agent followed an instruction that an attacker had put into a tool's result."""
    USER_CALLS = "user_calls"
    """The simulated user called tools of its own, which no agent sees."""
    SEARCH_TREE = "search_tree"
    """The log is a tree: branches that were given up stand one after the other, as no model read them."""
    BRANCHED = "branched"
    """The log holds more than one line of messages (sub-agents, summaries of what was before); the last one is read."""
    CONTROL_TEXT = "control_text"
    """A message spells a control token of a chat format, such as `<|im_end|>`. It is text, and is encoded as text."""
    STITCHED = "stitched"
    """No run at all, but a control made from one: calls and outputs were spliced into a text solution."""
    NULL_CONTENT = "null_content"
    """An assistant message with calls has null for its content."""
    BLOCK_CONTENT = "block_content"
    """A message's content is a list of blocks, joined into one text."""
    CALLS_IN_TEXT = "calls_in_text"
    """Calls are marked in the assistant's text, by a protocol of the harness."""
    CALLS_AS_STRINGS = "calls_as_strings"
    """The items of `tool_calls` are JSON texts."""
    ARGUMENTS_AS_OBJECTS = "arguments_as_objects"
    """Arguments of calls are objects, so that the model's own JSON text is lost: ours is canonical."""


class PolicyKind(StrEnum):
    """The part that a policy plays."""

    TEACHER = "teacher"
    STUDENT = "student"
    RECORDED = "recorded"


class Policy(Record):
    """Who acted.

    Example:
        Policy(kind=PolicyKind.STUDENT, name="embedded", revision="sft-3f2a")
    """

    kind: PolicyKind
    name: str
    revision: str
    """Manifest hash of the checkpoint, or the revision that a server or log states; "unknown" where none does."""

    @property
    def id(self) -> str:
        """`name@revision`."""
        return f"{self.name}@{self.revision}"


class CallRecord(Record):
    """One call and its result.

    Example:
        CallRecord(id="call_1", name="python", arguments='{"code":"1/0"}', status=CallStatus.ERROR,
                   result="ZeroDivisionError: division by zero")
    """

    id: str
    name: str | None
    """None for a malformed call."""
    arguments: str
    """JSON text as the model wrote it; the raw text for a malformed call."""
    status: CallStatus
    result: str
    """The observation, as the model read it."""
    printed: bool | None = None
    """Whether the tool gave any output (reference: TAO-RL's stricter success); None where not measured."""
    truncated: bool = False
    """Whether the result was cut."""


class Turn(Record):
    """One assistant message with the calls in it. The token fields are empty for rendered attempts.

    The ids of the whole attempt are, turn by turn, context_ids_T + sampled_ids_T: law 1 holds by construction.
    """

    text: str
    """What the model wrote in this turn, control tokens of calls and reasoning included, without the end-of-turn token."""
    calls: tuple[CallRecord, ...] = ()
    context_ids_T: tuple[Int32, ...] = ()
    """Tokens that the environment added before this turn: the prompt, or tool results and the next header."""
    context_kinds_T: tuple[Int8, ...] = ()
    """SegmentKind code per context token; parallel to context_ids_T."""
    sampled_ids_T: tuple[Int32, ...] = ()
    """Tokens that the model sampled, its end-of-turn token included where it wrote one."""
    sampled_kinds_T: tuple[Int8, ...] = ()
    """SegmentKind code per sampled token; parallel to sampled_ids_T."""
    logprobs_T: tuple[Float32, ...] = ()
    """Log-probability, in nats, of each sampled token under the behaviour policy; parallel to sampled_ids_T, or empty."""
    trimmed_tokens: int = 0
    """Tokens that the model wrote after its own call (an invented observation, say), cut and counted
    (white-space separated words for text engines)."""


class RewardPart(Record):
    """One part of the reward.

    Example:
        RewardPart(name="correct_strict", value=1.0, version="math-1")
    """

    name: str
    value: float | None
    """None: not measured (a verifier's own failure). 0.0: measured zero."""
    version: str
    """Name and version of what computed it."""
    reason: str | None = None
    """Why it could not be measured, or why it is zero, where the verifier says so."""


class Attempt(Record):
    """One run at a task.

    `key` is stable_key("attempt", task_key, index, policy, spec_hash, seed): asked for once, written once.
    """

    contract: ClassVar[str] = "attempt"

    key: str
    task_key: str
    index: int
    """0 .. G-1 inside the group of attempts at this task by this policy."""
    policy: Policy
    spec_hash: str
    """Hash of what decides the result besides task and policy: sampling parameters, tools, renderer, limits."""
    seed: int
    origin: Origin
    tokenizer_id: str | None
    """Fingerprint of the tokenizer of the ids; None for attempts without ids."""
    messages: tuple[Message, ...]
    """The whole transcript, prompt included."""
    turns: tuple[Turn, ...]
    stop: StopReason
    final_answer: str | None
    """The text of the final message; None where there is none."""
    outcome: Outcome
    rewards: tuple[RewardPart, ...] = ()
    repeat_kind: RepeatKind = RepeatKind.INDEPENDENT
    flags: tuple[Flag, ...] = ()
    """Traps that an importer recognised, each once, by name."""
    source: str
    source_ref: str = ""
    """Where a recorded attempt came from: file and line, relative to the folder that was read."""
    domain: str
    licence: str

    @staticmethod
    def make_key(task_key: str, index: int, policy: Policy, spec_hash: str, seed: int) -> str:
        """The key under which an attempt is written once."""
        return stable_key("attempt", task_key, index, policy.kind.value, policy.id, spec_hash, seed)

    def calls(self) -> tuple[CallRecord, ...]:
        """All calls, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)

    def reward(self, name: str) -> float | None:
        """The value of the reward part `name`; None where it was not measured or does not exist."""
        return next((part.value for part in self.rewards if part.name == name), None)
