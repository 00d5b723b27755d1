"""MCP servers as tools, through the official SDK: over stdio or streamable HTTP.

How a call ends, by type: the server answers (`isError` is the tool's error), takes too long (TIMEOUT), writes too much
(RESOURCE), or is gone or broken (InfrastructureError). A program that ends by itself while one call is under way was ended
by that call: this is the tool's error too, else a model could void its attempts. With several under way nobody knows which
one it was; a server on HTTP, or one that was killed, is infrastructure. Once it is lost the next call connects anew.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2
import mcp_types
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, MCPError
from pydantic import ValidationError

from data_contracts.attempts import CallStatus
from data_contracts.ids import canonical_json
from data_contracts.tools import ToolSpec
from rollout.errors import InfrastructureError
from rollout.tools.base import OpenTool, Tool, ToolResult, bounded, failed
from rollout.tools.mcp_relay import ENDED, FLOODED, TAIL_BYTES
from rollout.tools.mcp_transport import transport
from rollout.tools.tables import McpTable

_CLOSE_S = 10.0
_GRACE_S = 5.0
"""The SDK keeps the time of a call; only a client that hangs takes longer."""
_PROBE_S = 3.0
_MAX_PAGES = 100
_ANEW = "; the tool starts anew, what it remembered is lost"
_MAX_SAID_CHARS = 1000
BROKEN = (
    *(MCPError, OSError, RuntimeError, TimeoutError, CancelledError, ValidationError, BaseExceptionGroup),
    *(httpx2.HTTPError, httpx2.StreamError, anyio.ClosedResourceError, anyio.BrokenResourceError),
)
"""All that a client raises when a server does not keep to the protocol or is gone."""
_TOO_LONG = (FLOODED, "Server-sent event exceeded")


class Connection:
    """One connection to a server, held open by a task of the portal. Safe for threads."""

    def __init__(self, table: McpTable, portal: BlockingPortal) -> None:
        """Raises InfrastructureError where the server does not start, does not answer or speaks another protocol."""
        self._table, self._portal = table, portal
        self._words = os.fdopen(os.memfd_create("mcp"), "w+")
        self.lost = False
        self._num_calls = 0
        self._num_at_loss: int | None = None
        """Calls under way when the first of them found the server gone."""
        self._lock = Lock()
        self._ready: Future[Client] = Future()
        self._stop = portal.call(anyio.Event)
        self._holder: Future[None] = portal.start_task_soon(self._hold)
        either: tuple[Future[Any], ...] = (self._ready, self._holder)
        wait(either, self._table.start_s, FIRST_COMPLETED)
        if not self._ready.done():
            why = self._why()
            self.close()
            raise InfrastructureError(f"no connection: {why}")
        self._client = self._ready.result()

    async def _hold(self) -> None:
        async with Client(transport(self._table, self._words), read_timeout_seconds=self._table.start_s) as client:
            self._ready.set_result(client)
            await self._stop.wait()

    def _why(self) -> str:
        error = self._holder.exception() if self._holder.done() and not self._holder.cancelled() else None
        return f"{_root(error) if error else f'no answer within {self._table.start_s:g} s'}; {self._said()}"

    def _said(self) -> str:
        """The end of what a program said on stderr; read in place, since it writes through the same open file."""
        said = os.pread(self._words.fileno(), 2 * TAIL_BYTES, 0).decode(errors="replace").strip()
        return said[-_MAX_SAID_CHARS:] or "it said nothing on stderr"

    def specs(self) -> list[ToolSpec]:
        """All tools that the server offers. Raises InfrastructureError."""
        try:
            return self._portal.call(self._list)
        except BROKEN as error:
            raise InfrastructureError(f"its tools could not be listed: {_root(error)}; {self._said()}") from error

    async def _list(self) -> list[ToolSpec]:
        found, cursor = [], None
        for _ in range(_MAX_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found += [_spec(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool. Raises InfrastructureError where the server is gone or broken."""
        limit_s = self._table.timeout_s
        task = partial(self._client.call_tool, name, dict(arguments), read_timeout_seconds=limit_s)
        with self._counted():
            try:
                return _result(self._portal.start_task_soon(task).result(limit_s + _GRACE_S))
            except MCPError as error:
                return self._refused(error)
            except BROKEN as error:
                return self._gone(f"the call broke: {_root(error)}; {self._said()}")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._num_calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_calls -= 1

    def _refused(self, error: MCPError) -> ToolResult:
        """What an error of the protocol means."""
        if error.code == mcp_types.REQUEST_TIMEOUT:
            self.lost = not self._alive()
            return failed(CallStatus.TIMEOUT, f"no answer within {self._table.timeout_s:g} s{_ANEW * self.lost}")
        if error.code in (mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND):
            return failed(CallStatus.ERROR, bounded(error.message))
        return self._gone(f"{error.message}; {self._said()}")

    def _gone(self, said: str) -> ToolResult:
        """The server is lost: by a call of its own, or else InfrastructureError."""
        with self._lock:
            self.lost = True
            self._num_at_loss = self._num_calls if self._num_at_loss is None else self._num_at_loss
        if any(words in said for words in _TOO_LONG):
            return failed(CallStatus.RESOURCE, f"the answer is too long{_ANEW}")
        if ENDED in said and self._num_at_loss == 1:
            return failed(CallStatus.ERROR, f"this call ended the program behind the tool{_ANEW}")
        raise InfrastructureError(f"the server is gone or broken: {said}")

    def _alive(self) -> bool:
        """Whether the server answers anything at all, after a call that it did not answer."""
        task = partial(self._client.list_tools, cache_mode="refresh")
        with suppress(*BROKEN):
            self._portal.start_task_soon(task).result(_PROBE_S)
            return True
        return False

    def close(self) -> None:
        """End the connection, and with it a server on stdio."""
        self._portal.start_task_soon(self._stopped)
        if not self._ready.done() or not wait([self._holder], _CLOSE_S).done:
            self._holder.cancel()
        self._words.close()

    async def _stopped(self) -> None:
        self._stop.set()


def _root(error: BaseException) -> str:
    """The first real cause in a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:_MAX_SAID_CHARS]


def _spec(tool: mcp_types.Tool) -> ToolSpec:
    parameters = json.dumps(tool.input_schema, ensure_ascii=False)
    return ToolSpec(name=tool.name, description=tool.description or "", parameters=parameters)


def _result(result: mcp_types.CallToolResult) -> ToolResult:
    text = "\n".join(_words(block) for block in result.content)
    if not text and result.structured_content is not None:
        text = canonical_json(result.structured_content)
    status = CallStatus.ERROR if result.is_error else CallStatus.OK
    return ToolResult(status, bounded(text), printed=bool(text.strip()))


def _words(block: mcp_types.ContentBlock) -> str:
    """A part of a result as text; what is none is named, not shown."""
    if isinstance(block, mcp_types.TextContent):
        return block.text
    if isinstance(block, mcp_types.EmbeddedResource) and isinstance(block.resource, mcp_types.TextResourceContents):
        return block.resource.text
    return f"[{block.type}]"


class McpServer:
    """A server and its connections. Use it in a with block."""

    def __init__(self, name: str, table: McpTable) -> None:
        self.name, self.table = name, table
        self._stack = ExitStack()
        self._shared: Connection | None = None
        self._sessions: dict[int, Connection] = {}
        """By the seed of the attempt."""
        self._lock = Lock()

    def __enter__(self) -> Self:
        """Connect. Raises ValueError where that fails: before a run, it is a mistake in the recipe."""
        if self.table.command and shutil.which(self.table.command[0]) is None:
            raise ValueError(
                f"[tools.{self.name}]: {self.table.command[0]!r} is not found: install it, or correct its path"
            )
        self._portal = self._stack.enter_context(start_blocking_portal())
        try:
            self.specs = [s for s in self.connected().specs() if not self.table.only or s.name in self.table.only]
        except InfrastructureError as error:
            self._stack.close()
            raise ValueError(f"[tools.{self.name}]: {error}: check its command or url") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            connections = [*self._sessions.values(), *([self._shared] if self._shared else [])]
        for connection in connections:
            connection.close()
        self._stack.close()

    def connected(self) -> Connection:
        """The connection of the run, made anew where it was lost. Raises InfrastructureError."""
        with self._lock:
            if self._shared and self._shared.lost:
                self._shared.close()
                self._shared = None
            if self._shared is None:
                self._shared = Connection(self.table, self._portal)
            return self._shared

    def session(self, seed: int) -> Connection:
        """The connection of one attempt, which asks for it call by call. Raises InfrastructureError."""
        found = self._sessions.get(seed)
        if found is None or found.lost:
            self.end_session(seed)
            found = self._sessions[seed] = Connection(self.table, self._portal)
        return found

    def end_session(self, seed: int) -> None:
        """End the connection of one attempt, where it has one."""
        found = self._sessions.pop(seed, None)
        if found is not None:
            found.close()

    def tool(self, spec: ToolSpec) -> Tool:
        """The tool of that name, as the table's `session` wants it."""
        return McpSessionTool(spec, self) if self.table.session == "attempt" else McpTool(spec, self)


class McpTool:
    """A tool of a server, over the connection of the run."""

    def __init__(self, spec: ToolSpec, server: McpServer) -> None:
        self.spec, self._server = spec, server

    def call(self, arguments: Mapping[str, Any], seed: int) -> ToolResult:
        """See Tool.call. The protocol has no seed."""
        return self._server.connected().call(self.spec.name, arguments)


class McpSessionTool(McpTool):
    """A tool of a server that remembers: all tools of the server share one connection an attempt."""

    @property
    def state(self) -> object:
        """See SharesState."""
        return self._server

    def open_attempt(self, seed: int) -> OpenTool:
        """See StatefulTool.open_attempt."""
        return _OpenMcpTool(self.spec, self._server, seed)


class _OpenMcpTool:
    def __init__(self, spec: ToolSpec, server: McpServer, attempt: int) -> None:
        self.spec, self._server, self._attempt = spec, server, attempt
        self._closed = False

    def call(self, arguments: Mapping[str, Any], seed: int) -> ToolResult:
        """See Tool.call."""
        if self._closed:
            raise InfrastructureError(f"the session of {self.spec.name} has ended with its attempt")
        return self._server.session(self._attempt).call(self.spec.name, arguments)

    def close(self) -> None:
        """See OpenTool.close."""
        self._closed = True
        self._server.end_session(self._attempt)
