"""Any OpenAI-compatible server, over HTTP.

Two ways: `tokens` sends and receives token ids through /completions (vLLM with return_token_ids), exact for training;
`chat` sends messages through /chat/completions and receives text and calls, for teachers.
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import httpx

from data_contracts.messages import Message, Role
from rollout.engines import Completion, Finish, Request
from rollout.errors import InfrastructureError
from rollout.rendering.family import CALL, CALL_END, THINK, THINK_END


class Api(StrEnum):
    """Which endpoint is spoken to."""

    CHAT = "chat"
    TOKENS = "tokens"


class OpenAIEngine:
    """A client of one model on one server.

    `base_url` ends in /v1. Time-outs, dropped connections and the statuses 408, 409, 429 and 5xx are retried with growing
    pauses, then count as infrastructure failures. Another 4xx is a mistake in the request: ValueError with the server's words.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api: Api,
        *,
        temperature: float,
        top_p: float = 1.0,
        max_turn_tokens: int = 4096,
        api_key: str = "none",
        max_concurrent: int = 32,
        timeout_s: float = 600.0,
        num_retries: int = 4,
        first_pause_s: float = 0.5,
    ) -> None:
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=max_concurrent),
        )
        self._model, self._api = model, api
        self._settings = {"model": model, "temperature": temperature, "top_p": top_p}
        self._max_turn_tokens, self._max_concurrent = max_turn_tokens, max_concurrent
        self._num_retries, self._first_pause_s = num_retries, first_pause_s

    def sample(self, requests: Sequence[Request]) -> list[Completion | InfrastructureError]:
        """See Engine.sample."""
        with ThreadPoolExecutor(self._max_concurrent, thread_name_prefix="openai") as pool:
            return list(pool.map(self._one, requests))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _one(self, request: Request) -> Completion | InfrastructureError:
        common = {
            **self._settings,
            "max_tokens": min(request.max_tokens, self._max_turn_tokens),
            "seed": request.seed % 2**31,
        }
        try:
            if self._api is Api.TOKENS:
                return _read_tokens(
                    self._post("completions", common | _TOKEN_FIELDS | {"prompt": list(request.prompt_ids_T)})
                )
            return _read_chat(self._post("chat/completions", common | _chat_fields(request)))
        except InfrastructureError as failure:
            return failure

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        problem = ""
        for retry in range(self._num_retries + 1):
            if retry:
                time.sleep(self._first_pause_s * 2 ** (retry - 1))
            try:
                response = self._client.post(path, json=body)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status_code in (408, 409, 429) or response.status_code >= 500:
                problem = f"status {response.status_code}: {response.text[:200]}"
                continue
            if response.status_code >= 400:
                raise ValueError(f"the server refused {path} with status {response.status_code}: {response.text[:500]}")
            return dict(response.json())
        raise InfrastructureError(
            f"{self._client.base_url}{path} failed {self._num_retries + 1} times; last: {problem}"
        )


_TOKEN_FIELDS = {
    "return_token_ids": True,
    "logprobs": 0,
    "skip_special_tokens": False,
    "include_stop_str_in_output": True,
}


def _read_tokens(body: dict[str, Any]) -> Completion:
    choice = body["choices"][0]
    ids, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
    if not ids or not logprobs or len(ids) != len(logprobs):
        raise ValueError(
            "the server's answer has no token ids with log-probabilities: token mode needs a server that honours "
            "return_token_ids and logprobs (vLLM >= 0.11); use api = 'chat' for others"
        )
    finish = Finish.LENGTH if choice["finish_reason"] == "length" else Finish.END
    return Completion(text="", ids_T=tuple(ids), logprobs_T=tuple(logprobs), finish=finish)


def _chat_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {"messages": [_chat_message(m) for m in request.messages]}
    if request.tools:
        fields["tools"] = [tool.to_openai() for tool in request.tools]
    return fields


def _chat_message(message: Message) -> dict[str, Any]:
    """A malformed call was text to the server, so it goes back as text, and its error message as a user message."""
    out: dict[str, Any] = {"role": message.role.value, "content": message.content}
    malformed = [c for c in message.tool_calls if not c.name]
    out["content"] += "".join(f"\n{CALL}\n{c.arguments}\n{CALL_END}" for c in malformed)
    if any(c.name for c in message.tool_calls):
        out["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
            if c.name
        ]
    if message.role is Role.TOOL and not message.name:
        return {"role": Role.USER.value, "content": message.content}
    if message.role is Role.TOOL:
        out |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return out


def _read_chat(body: dict[str, Any]) -> Completion:
    choice = body["choices"][0]
    message = choice["message"]
    text = message.get("content") or ""
    thoughts = message.get("reasoning_content") or message.get("reasoning") or ""
    if thoughts:
        text = f"{THINK}\n{thoughts}\n{THINK_END}\n\n{text}"
    for call in message.get("tool_calls") or ():
        text += f"\n{CALL}\n{_call_text(call['function'])}\n{CALL_END}"
    finish = Finish.LENGTH if choice["finish_reason"] == "length" else Finish.END
    return Completion(text=text, finish=finish)


def _call_text(function: dict[str, Any]) -> str:
    """Arguments that are no JSON stay as they are: the agent answers them as a malformed call."""
    return f'{{"name": {json.dumps(function["name"])}, "arguments": {function["arguments"] or "{}"}}}'
