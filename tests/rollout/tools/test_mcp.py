"""MCP servers, real ones: public servers over both transports, and one that does all that a server should not."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.attempts import CallStatus, Outcome
from data_contracts.tools import ToolSpec
from rollout.errors import InfrastructureError
from rollout.groups import jobs_of, run_attempts
from rollout.tools.base import MAX_RESULT_CHARS
from rollout.tools.mcp_server import McpServer
from rollout.tools.registry import opened_tools
from rollout.tools.tables import McpTable
from tests.rollout.sandbox.test_lifetime import eventually
from tests.rollout.test_agent import Script, call, setting
from tests.tiny import make_task

ODD = Path(__file__).with_name("odd_server.py")
NPM = Path(__file__).parents[3] / "build" / "npm"
"""Where `npm install --prefix build/npm @modelcontextprotocol/server-everything` puts it."""
PATH = os.pathsep.join([str(Path(sys.executable).parent), str(NPM / "node_modules" / ".bin"), os.environ["PATH"]])


def odd(**changes) -> McpTable:
    return McpTable(kind="mcp", command=(sys.executable, str(ODD)), **{"timeout_s": 20.0, **changes})


FLOODS = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    schema = {"type": "object"}
    answers = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "f", "version": "1"}},
        "tools/list": {"tools": [{"name": "flood", "inputSchema": schema}]},
    }
    if asked.get("method") == "tools/call":
        while True:
            os.write(1, b"{" * 65536)
    if "id" in asked:
        known = asked["method"] in answers
        end = {"result": answers[asked["method"]]} if known else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **end}), flush=True)
"""


def public(name: str, *arguments: str, **changes) -> McpTable:
    """A published server, where it is installed."""
    program = shutil.which(name, path=PATH)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return McpTable(kind="mcp", command=(program, *arguments), **changes)


@contextmanager
def on_a_port(*command: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """The address of a server on streamable HTTP. `PORT` in the command stands for a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [word.replace("PORT", port) for word in command],
        env={**os.environ, "PORT": port, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _listens(port):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def _listens(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.fixture(scope="module")
def server():
    with McpServer("odd", odd()) as running:
        yield running


def ask(server: McpServer, name: str, **arguments):
    spec = next(s for s in server.specs if s.name == name)
    return server.tool(spec).call(arguments, 0)


def test_a_published_server_on_stdio_gives_its_tools_and_their_answers() -> None:
    with McpServer("time", public("mcp-server-time")) as server:
        assert [s.name for s in server.specs] == ["get_current_time", "convert_time"]
        arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        told = ask(server, "convert_time", **arguments)
        assert (told.status, "T21:00:00+09:00" in told.text) == (CallStatus.OK, True)
        wrong = ask(server, "get_current_time", timezone="Nowhere")
        assert (wrong.status, "Invalid timezone" in wrong.text) == (CallStatus.ERROR, True)


def test_a_published_server_with_files_of_its_own(tmp_path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "new.txt").write_text("text")
    with McpServer("git", public("mcp-server-git", only=("git_status",))) as server:
        assert [s.name for s in server.specs] == ["git_status"]
        told = ask(server, "git_status", repo_path=str(tmp_path))
    assert (told.status, "new.txt" in told.text) == (CallStatus.OK, True)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_reference_server_in_another_language_on_both_transports(transport) -> None:
    table = public("mcp-server-everything")
    if transport == "stdio":
        check_everything(table)
        return
    with on_a_port(*table.command, "streamableHttp") as url:
        check_everything(McpTable(kind="mcp", url=url))


def check_everything(table: McpTable) -> None:
    with McpServer("everything", table) as server:
        assert ask(server, "echo", message="hi").text == "Echo: hi"
        assert "42" in ask(server, "get-sum", a=40, b=2).text
        assert "[image]" in ask(server, "get-tiny-image").text
        assert ask(server, "get-sum", a="x").status is CallStatus.ERROR


def test_a_servers_no_is_the_tools_error(server) -> None:
    told = ask(server, "refuse", why="not today")
    assert (told.status, "not today" in told.text) == (CallStatus.ERROR, True)


def test_long_answers_are_bounded_head_and_tail(server) -> None:
    told = ask(server, "long", size=1_000_000)
    assert told.status is CallStatus.OK
    assert len(told.text) < MAX_RESULT_CHARS + 100
    assert told.text.startswith("aaa")
    assert told.text.endswith("bbb")
    assert "characters cut" in told.text


def test_a_server_that_complains_without_end_answers_all_the_same(server) -> None:
    assert ask(server, "chatter").text == "done"


def test_a_call_that_ends_its_server_is_the_tools_error_and_the_next_call_finds_it_again(server) -> None:
    for _ in range(2):
        told = ask(server, "die")
        assert (told.status, "this call ended the program" in told.text) == (CallStatus.ERROR, True)
        assert ask(server, "count").text == "1"


def under_way(server: McpServer, pool: ThreadPoolExecutor) -> Future:
    """A call that does not answer, and has begun."""
    hanging = pool.submit(ask, server, "hang")
    assert eventually(lambda: server.connected()._num_calls == 1)
    return hanging


def test_of_several_calls_nobody_knows_which_one_ended_the_server(server) -> None:
    with ThreadPoolExecutor(1) as pool:
        hanging = under_way(server, pool)
        with pytest.raises(InfrastructureError, match="gone or broken"):
            ask(server, "die")
        with pytest.raises(InfrastructureError, match="gone or broken"):
            hanging.result()
    assert ask(server, "count").text == "1"


def test_a_server_that_is_killed_from_outside_is_infrastructure(server) -> None:
    process = int(ask(server, "process").text)
    with ThreadPoolExecutor(1) as pool:
        hanging = under_way(server, pool)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(InfrastructureError, match="gone or broken"):
            hanging.result()


def test_a_server_that_never_answers_is_a_time_out() -> None:
    """It starts anew where it answers nothing else either."""
    with McpServer("odd", odd(timeout_s=0.5)) as server:
        assert ask(server, "hang").status is CallStatus.TIMEOUT
        assert ask(server, "hang").text == "Error: no answer within 0.5 s"
        told = ask(server, "block")
        assert told.status is CallStatus.TIMEOUT
        assert told.text == "Error: no answer within 0.5 s; the tool starts anew, what it remembered is lost"


def test_a_flood_is_a_limit_that_was_hit() -> None:
    with McpServer("flood", McpTable(kind="mcp", command=(sys.executable, "-c", FLOODS))) as server:
        for _ in range(2):
            told = ask(server, "flood")
            assert told.status is CallStatus.RESOURCE
            assert told.text == "Error: the answer is too long; the tool starts anew, what it remembered is lost"


def test_over_http_a_server_is_judged_alike() -> None:
    served = on_a_port(sys.executable, str(ODD), "PORT")
    with served as url, McpServer("odd", McpTable(kind="mcp", url=url, timeout_s=20.0)) as server:
        assert ask(server, "count").text == "1"
        assert ask(server, "refuse", why="no").status is CallStatus.ERROR
        assert ask(server, "long", size=20_000_000).status is CallStatus.RESOURCE
        for _ in range(2):
            with pytest.raises(InfrastructureError):
                ask(server, "die")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (McpTable(kind="mcp", command=("no-such-server",)), "'no-such-server' is not found"),
        (McpTable(kind="mcp", command=(sys.executable, "-c", "raise SystemExit('bad start')")), "bad start"),
        (McpTable(kind="mcp", command=(sys.executable, "-c", "while 1: print('x')"), start_s=1.0), "within 1 s"),
        (McpTable(kind="mcp", url="http://127.0.0.1:9/mcp"), "check its command or url"),
    ],
)
def test_a_server_that_does_not_start_is_one_message_before_the_run(table, words) -> None:
    with pytest.raises(ValueError, match=words), McpServer("odd", table):
        pass


def test_a_table_names_one_place() -> None:
    with pytest.raises(ValueError, match="either a command or a url"):
        McpTable(kind="mcp")


def use(name: str, **arguments) -> str:
    return call(json.dumps({"name": name, "arguments": arguments}))


def tasks_with(server: McpServer, *names: str, count: int = 2):
    stated = {spec.name: spec for spec in server.specs}
    return [make_task(f"{i}?", tools=tuple(stated[name] for name in names)) for i in range(count)]


def test_a_server_remembers_for_the_run(server) -> None:
    tasks = tasks_with(server, "count")
    tools = {spec: server.tool(spec) for spec in tasks[0].tools}
    before = int(ask(server, "count").text)
    attempts = run_attempts(jobs_of(tasks, 1, 0), Script(use("count"), "\\boxed{91}"), _with(setting(None), tools))
    assert sorted(int(c.result) for a in attempts for c in a.calls()) == [before + 1, before + 2]


def test_the_tools_of_one_server_share_the_attempts_session_and_keep_the_models_order(server) -> None:
    tasks = tasks_with(server, "count", "note")
    line = "\n".join([use("note", word="a"), use("count"), use("note", word="b")])
    with opened_tools(tasks, None, {"odd": odd(session="attempt")}) as tools:
        attempts = run_attempts(jobs_of(tasks, 1, 0), Script(line, "\\boxed{91}"), _with(setting(None), tools))
    assert [[c.result for c in a.calls()] for a in attempts] == [["a1", "2", "b3"]] * 2
    assert all(a.outcome is Outcome.CORRECT for a in attempts)


def _with(base, tools: dict[ToolSpec, object]):
    return replace(base, tools=tools)
