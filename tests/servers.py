"""A small OpenAI-compatible server over a real model, so that the client is tested with real HTTP and real tokens."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rollout.engines import Request
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.rendering import Renderer
from rollout.rendering.parsing import parse, spans_of_text
from tests.tiny import qwen_model, qwen_tokenizer


class ModelServer(ThreadingHTTPServer):
    """Serves /v1/completions (token ids) and /v1/chat/completions (a fixed first call, then an answer)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures: list[int] = []
        """Status codes to answer with first, one per request."""
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.renderer = Renderer(qwen_tokenizer())
        self.model = qwen_model()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        sampling = Sampling(temperature=body["temperature"], max_turn_tokens=body["max_tokens"])
        engine = TransformersEngine(
            self.model, self.renderer.end_id, qwen_tokenizer().pad_token_id, sampling, batch_size=1
        )
        done = engine.sample([Request(tuple(body["prompt"]), (), (), body["max_tokens"], body["seed"])])[0]
        return {
            "finish_reason": "stop" if done.finish.value == "end" else "length",
            "token_ids": list(done.ids_T),
            "logprobs": {"token_logprobs": list(done.logprobs_T)},
        }

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        answered = any(m["role"] == "tool" for m in body["messages"])
        if answered:
            return {"finish_reason": "stop", "message": {"content": f"\\boxed{{{body['messages'][-1]['content']}}}"}}
        written = parse(spans_of_text('<tool_call>\n{"name": "python", "arguments": {"code": "91"}}\n</tool_call>'))
        calls = [{"id": "1", "function": {"name": c.name, "arguments": c.arguments}} for c in written.calls]
        return {"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": calls}}


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            status = self.server.failures.pop(0) if self.server.failures else 200
        answer: dict[str, Any] = {"error": "as told"}
        if status == 200:
            work = self.server.chat if self.path.endswith("chat/completions") else self.server.completion
            answer = {"choices": [work(body)]}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """The server, running on a free port of the loopback."""
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
