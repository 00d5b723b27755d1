"""Attempts to token rows."""

from collections.abc import Iterable, Sequence

from data_contracts.attempts import MODEL_FAILURES, TOOL_FAILURES, Attempt, Origin, Outcome
from data_contracts.messages import Role
from data_contracts.token_rows import TokenRow
from data_contracts.tools import ToolSpec
from rollout.rendering import Family, Rendered, Renderer


def sampled_row(attempt: Attempt) -> TokenRow:
    """The row of an attempt whose ids an engine of ours produced: exactly the sampled tokens are trained.

    Raises ValueError for a void attempt or one without ids.
    """
    if attempt.outcome is Outcome.VOID or attempt.origin is not Origin.SAMPLED or attempt.tokenizer_id is None:
        raise ValueError(
            f"attempt {attempt.key} ({attempt.origin.value}, {attempt.outcome.value}) has no row of sampled tokens: "
            "void attempts are never trained on; recorded ones are rendered with rendered_rows"
        )
    turns = attempt.turns
    return TokenRow(
        **_identity(attempt, 0, attempt.tokenizer_id),
        tokens_T=tuple(n for t in turns for n in (*t.context_ids_T, *t.sampled_ids_T)),
        kinds_T=tuple(k for t in turns for k in (*t.context_kinds_T, *t.sampled_kinds_T)),
        trained_T=tuple(s for t in turns for s in (False,) * len(t.context_ids_T) + (True,) * len(t.sampled_ids_T)),
        logprobs_T=tuple(
            p for t in turns for p in (*((None,) * len(t.context_ids_T)), *_logprobs(t.logprobs_T, t.sampled_ids_T))
        ),
        turns_T=tuple(i for i, t in enumerate(turns) for _ in (*t.context_ids_T, *t.sampled_ids_T)),
    )


def _logprobs(logprobs_T: Sequence[float], sampled_T: Sequence[int]) -> Iterable[float | None]:
    return logprobs_T or (None,) * len(sampled_T)


def rendered_rows(
    attempt: Attempt, tools: Sequence[ToolSpec], renderer: Renderer, train_failed_turns: bool = True
) -> list[TokenRow]:
    """The rows of a recorded attempt, rendered for one tokenizer: exactly the assistant's text is trained, each turn once.

    More than one row (branches) only where the family's template changes earlier turns later (thoughts that it drops).
    `train_failed_turns=False` keeps turns whose every call failed as context: recoveries are learned, mistakes are not.
    """
    failed = set() if train_failed_turns else _failed_turns(attempt)
    rows: list[TokenRow] = []
    for end in _branch_ends(attempt, renderer.family):
        rendered = renderer.conversation(attempt.messages[:end], tools)
        own = _own_turns(attempt, end, renderer.family) - failed
        row = _rendered_row(attempt, len(rows), rendered, own, renderer.tokenizer_id)
        if any(row.trained_T):
            rows.append(row)
    return rows


def _branch_ends(attempt: Attempt, family: Family) -> list[int]:
    """Where to cut the messages: once at the end, or before each user message that makes the template drop thoughts."""
    messages = attempt.messages
    ends = [len(messages)]
    if family is Family.QWEN3 and any(m.reasoning for m in messages):
        spoken = [i for i, m in enumerate(messages) if m.role is Role.ASSISTANT]
        ends = [i for i, m in enumerate(messages) if m.role is Role.USER and spoken and i > spoken[0]] + ends
    return ends


def _own_turns(attempt: Attempt, end: int, family: Family) -> set[int]:
    """The assistant turns that a branch trains: those after its last user message; all of them where nothing branches."""
    ends = _branch_ends(attempt, family)
    start = max((e for e in ends if e < end), default=0)
    before = sum(m.role is Role.ASSISTANT for m in attempt.messages[:start])
    return set(range(before, sum(m.role is Role.ASSISTANT for m in attempt.messages[:end])))


def _failed_turns(attempt: Attempt) -> set[int]:
    failures = MODEL_FAILURES | TOOL_FAILURES
    return {i for i, t in enumerate(attempt.turns) if t.calls and all(c.status in failures for c in t.calls)}


def _rendered_row(attempt: Attempt, branch: int, rendered: Rendered, own: set[int], tokenizer_id: str) -> TokenRow:
    trained_T = tuple(t and turn in own for t, turn in zip(rendered.trained_T, rendered.turns_T, strict=True))
    return TokenRow(
        **_identity(attempt, branch, tokenizer_id),
        tokens_T=rendered.ids_T,
        kinds_T=rendered.kinds_T,
        trained_T=trained_T,
        logprobs_T=(None,) * len(rendered.ids_T),
        turns_T=rendered.turns_T,
    )


def _identity(attempt: Attempt, branch: int, tokenizer_id: str) -> dict[str, object]:
    return {
        "key": f"row-{attempt.key.removeprefix('attempt-')}-{tokenizer_id[:8]}-{branch}",
        "attempt_key": attempt.key,
        "task_key": attempt.task_key,
        "branch": branch,
        "policy": attempt.policy.id,
        "tokenizer_id": tokenizer_id,
        "origin": attempt.origin,
        "stop": attempt.stop,
        "outcome": attempt.outcome,
        "rewards": attempt.rewards,
        "domain": attempt.domain,
        "source": attempt.source,
        "licence": attempt.licence,
    }
