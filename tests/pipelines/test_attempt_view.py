"""One attempt side by side: what `toolpath show` prints."""

import pytest

from pipelines.viewer.attempt import rebuilt, side_by_side
from rollout.groups import Job, run_attempts
from rollout.rendering import Renderer
from rollout.rows import rendered_rows, sampled_row
from tests.rollout.test_agent import RENDERER, Script, TokenScript, python, setting
from tests.tiny import PYTHON, make_task

LINES = (f"I add.\n{python('91')}", "So \\boxed{91}.")


def test_a_sampled_attempt_shows_text_segments_ids_mask_and_log_probabilities() -> None:
    (attempt,) = run_attempts([Job(make_task(), 0, 7)], TokenScript(*LINES), setting(RENDERER))
    row = sampled_row(attempt)
    shown = side_by_side(attempt, row, RENDERER)
    assert "outcome correct" in shown
    assert f"{len(row.tokens_T)} tokens, {sum(row.trained_T)} trained" in shown
    call = next(line for line in shown.splitlines() if "  call  " in line)
    assert "trained" in call
    assert "<tool_call>" in call
    assert "-0.500" in shown
    assert " ".join(str(n) for n in row.tokens_T[:4]) in shown
    assert shown.endswith("messages rebuilt from the segments: equal")


def test_a_rendered_attempt_has_no_log_probabilities() -> None:
    (attempt,) = run_attempts([Job(make_task(), 0, 7)], Script(*LINES), setting(None))
    (row,) = rendered_rows(attempt, [PYTHON], RENDERER)
    shown = side_by_side(attempt, row, RENDERER)
    assert "logprob none none" in shown
    assert shown.endswith("equal")


def test_a_row_that_is_not_the_attempts_is_noticed() -> None:
    first, second = (
        run_attempts([Job(make_task(), 0, 7)], TokenScript(*lines), setting(RENDERER))[0]
        for lines in (LINES, ("Other.", "x"))
    )
    assert rebuilt(first, sampled_row(first), RENDERER)
    assert not rebuilt(first, sampled_row(second), RENDERER)
    with pytest.raises(ValueError, match="not of"):
        side_by_side(first, sampled_row(first).model_copy(update={"tokenizer_id": "x"}), Renderer(RENDERER.tokenizer))
