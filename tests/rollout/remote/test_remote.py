"""A real client against a real server of ours, and against servers that flood, hang, die or are of another make."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from rollout.errors import InfrastructureError
from rollout.executor import URL_ENV, SandboxTable, open_executor
from rollout.remote.client import RemoteSandbox
from rollout.remote.protocol import TOKEN_ENV, RunCodeAnswer, answer_of, outcome_of
from rollout.remote.server import SandboxServer
from rollout.sandbox import Limits, Outcome, Sandbox, Status, Tier

TOKEN = "a-token-for-tests-only"
LIMITS = Limits(wall_s=1.0, memory_bytes=64 * 2**20, output_bytes=2000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server as a user starts it."""
    command = [sys.executable, "-m", "rollout", "serve-sandbox", "--port", str(port), *options]
    process = subprocess.Popen(command, env={**os.environ, TOKEN_ENV: TOKEN}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/ping").text == "pong"
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with served(port, "--workers", "2", "--wall-s", "5", "--memory-mb", "256", "--max-waiting", "8"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def client(url, monkeypatch) -> Iterator[RemoteSandbox]:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    with RemoteSandbox(url, LIMITS, first_pause_s=0.05) as remote:
        yield remote


CODES = {
    "print(34 + 57)": Status.OK,
    "34 + 57": Status.OK,
    "import random\nrandom.random()": Status.OK,
    "print(input())": Status.OK,
    "print('\\x00\\x1b\\udc80 é')": Status.OK,
    "": Status.OK,
    "1/0": Status.ERROR,
    "raise SystemExit(3)": Status.ERROR,
    "while True: pass": Status.TIMEOUT,
    "x = ' ' * 10**10": Status.MEMORY,
    "print('é' * 10**6)": Status.OUTPUT_LIMIT,
    "import os\nos.abort()": Status.SIGNAL,
    "\x00": Status.REJECTED,
    "'\ud800'": Status.REJECTED,
    "#" * 10**7: Status.REJECTED,
}


def test_outcomes_are_those_of_the_sandbox(client) -> None:
    with Sandbox(LIMITS, num_workers=1) as local:
        for code, status in CODES.items():
            here, there = (box.run(code, seed=7, stdin="given\n") for box in (local, client))
            assert there.status is status, code[:40]
            if status is not Status.OUTPUT_LIMIT:
                assert there == here
            else:
                assert there.truncated
                assert len(there.stdout.encode()) <= LIMITS.output_bytes


def test_many_callers_are_answered_each_with_its_own(client) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: client.run(f"print({i})").stdout, range(40)))
    assert told == [f"{i}\n" for i in range(40)]


def post(url: str, body: object, **options) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.post(f"{url}/run_code", **{"json": body, "headers": headers, "timeout": 30, **options})


VERL = {"compile_timeout": 2, "run_timeout": 2, "memory_limit_MB": 128, "language": "python", "stdin": "3 4\n"}


def test_requests_as_other_clients_send_them(url) -> None:
    """Fields and answers of SandboxFusion's API; its clients read `status` and `run_result`."""
    body = {**VERL, "code": "a, b = map(int, input().split())\nprint(a * b)", "files": {}, "fetch_files": []}
    told = post(url, body).json()
    assert (told["status"], told["message"], told["compile_result"], told["files"]) == ("Success", "", None, {})
    assert told["run_result"]["status"] == "Finished"
    assert (told["run_result"]["return_code"], told["run_result"]["stdout"]) == (0, "12\n")
    failing = post(url, {"code": "1/0", "language": "python", "run_timeout": 2, "stdin": None, "args": []}).json()
    assert (failing["status"], failing["run_result"]["return_code"]) == ("Failed", 1)
    assert "ZeroDivisionError" in failing["run_result"]["stderr"]
    start = time.monotonic()
    slow = post(url, {"code": "while True: pass", "language": "python", "run_timeout": 0.3}).json()
    assert (slow["status"], slow["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
    assert time.monotonic() - start < 1.9
    named = f"http://any:{TOKEN}@{url.removeprefix('http://')}"
    assert httpx.post(f"{named}/run_code", json=body).json()["run_result"]["stdout"] == "12\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"language": "cpp"}, "language 'cpp' is not served here"),
        ({"files": {"a.txt": "YQ=="}}, "files are not served"),
        ({"fetch_files": ["a.txt"]}, "files are not served"),
        ({"run_timeout": 60}, "run_timeout 60 s is above this server's 5 s"),
        ({"memory_limit_MB": 4096}, "above this server's 256"),
        ({"run_timeout": -1}, "greater than 0"),
        ({"code": None}, "valid string"),
        ({"stdin": "x" * (2**20 + 1)}, "stdin is longer"),
    ],
)
def test_what_is_not_supported_is_refused_in_clear_words(url, changes, words) -> None:
    told = post(url, {"code": "1", "language": "python", "run_timeout": 1} | changes)
    assert told.status_code == 422
    assert words in told.json()["message"]
    assert told.json()["status"] == "SandboxError"


def test_bad_requests_are_refused_and_nothing_stops(url, client) -> None:
    assert post(url, None, json=None, content=b"{").status_code == 422
    assert post(url, None, json=None, content=b"\xff\xfe").status_code == 422
    assert post(url, None, json=None, content=b"x" * 8_000_000).status_code == 413
    assert post(url, None, json=None, content=iter([b"x" * 1_000_000] * 8)).status_code == 413
    assert httpx.get(f"{url}/run_code").status_code == 405
    assert client.run("1").stdout == "1\n"


@pytest.mark.parametrize("header", ["", "Bearer x", "Bearer wrong", "Basic !!", "Basic eDp4", "Bearer é"])
def test_without_the_token_nothing_runs(url, header) -> None:
    told = post(url, {"code": "1", "language": "python"}, headers={"Authorization": header.encode()})
    assert (told.status_code, "token" in told.json()["message"]) == (401, True)


def test_a_wrong_token_is_a_mistake_in_the_set_up(url, monkeypatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, "not-the-token-of-that-server")
    with RemoteSandbox(url, LIMITS) as remote, pytest.raises(ValueError, match=f"status 401.*{TOKEN_ENV}"):
        remote.run("1")


def test_a_server_needs_a_token_that_is_no_guess(monkeypatch) -> None:
    command = [sys.executable, "-m", "rollout", "serve-sandbox", "--port", str(free_port())]
    without = {name: value for name, value in os.environ.items() if name != TOKEN_ENV}
    for env, words in ((without, f"{TOKEN_ENV} is not set"), (without | {TOKEN_ENV: "short"}, "has 5 characters")):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode, words in done.stderr.splitlines()[-1]) == (2, True)


def test_a_server_that_is_full_pushes_back_and_clients_come_again(url, client) -> None:
    """10 places: 2 that run, 8 that wait."""
    sleeps = {"code": "import time\ntime.sleep(0.5)\nprint(1)", "language": "python", "run_timeout": 2}
    with ThreadPoolExecutor(24) as pool:
        assert {done.status_code for done in pool.map(lambda _: post(url, sleeps), range(24))} == {200, 429}
        told = list(pool.map(lambda _: client.run(sleeps["code"]).stdout, range(14)))
    assert told == ["1\n"] * 14


def test_a_server_that_dies_and_comes_back_loses_no_call(monkeypatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    port = free_port()
    options = ("--workers", "1", "--tier", "landlock")
    remote = RemoteSandbox(f"http://127.0.0.1:{port}", LIMITS, num_retries=8, first_pause_s=0.1)
    with remote, ThreadPoolExecutor(1) as pool, served(port, *options) as process:
        told = pool.submit(remote.run, "import time\ntime.sleep(0.5)\nprint(42)")
        time.sleep(0.3)
        process.kill()
        process.wait()
        with served(port, *options):
            assert told.result(60).stdout == "42\n"
    gone = RemoteSandbox(f"http://127.0.0.1:{port}", LIMITS, num_retries=1, first_pause_s=0.01)
    with gone, pytest.raises(InfrastructureError, match="failed 2 times"):
        gone.run("1")


class Odd(BaseHTTPRequestHandler):
    """Answers as its server is told to."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.send_response(self.server.code)
        self.end_headers()
        try:
            for chunk in self.server.chunks():
                self.wfile.write(chunk)
        except OSError:
            pass  # the client has had enough

    def log_message(self, format, *arguments) -> None:
        """Quiet."""


@contextmanager
def odd(chunks, code: int = 200) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.chunks, server.code, server.asked, server.daemon_threads = chunks, code, 0, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def endless():
    while True:
        yield b"x" * 65536


def never():
    threading.Event().wait()
    yield b""


def trickle():
    while True:
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    ("chunks", "code", "words"),
    [
        (endless, 200, "longer than"),
        (never, 200, "timed out"),
        (trickle, 200, "takes longer than"),
        (lambda: [b""], 200, "ValidationError"),
        (lambda: [b"<html>"], 200, "ValidationError"),
        (lambda: [b"busy"], 503, "status 503"),
        (lambda: [json.dumps({"status": "SandboxError", "message": "no disk"}).encode()], 200, "no disk"),
    ],
)
def test_what_breaks_on_the_way_is_retried_and_then_infrastructure(chunks, code, words) -> None:
    limits = Limits(wall_s=0.2, output_bytes=1000)
    with odd(chunks, code) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with RemoteSandbox(url, limits, queue_s=0.2, num_retries=1, first_pause_s=0.01) as remote:
            start = time.monotonic()
            with pytest.raises(InfrastructureError, match=words):
                remote.run("1")
        assert server.asked == 2
        assert time.monotonic() - start < 5


def test_a_server_that_stays_full_is_infrastructure_in_the_end() -> None:
    with odd(lambda: [b"full"], 429) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        remote = RemoteSandbox(url, LIMITS, queue_s=0.3, num_retries=0, first_pause_s=0.02)
        with remote, pytest.raises(InfrastructureError, match="status 429"):
            remote.run("1")
        assert server.asked > 2


def theirs(code: int | None, status: str = "Finished", stderr: str = "", stdout: str = "") -> dict[str, object]:
    """An answer as SandboxFusion gives it."""
    result = {"status": status, "execution_time": 0.1, "return_code": code, "stdout": stdout, "stderr": stderr}
    return {
        "status": "Success" if code == 0 else "Failed",
        "message": "",
        "compile_result": None,
        "run_result": result,
        "executor_pod_name": None,
        "files": {},
    }


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (theirs(0, stdout="42\n"), Status.OK),
        (theirs(1, stderr="Traceback ...\nZeroDivisionError: division by zero\n"), Status.ERROR),
        (theirs(1, stderr="Traceback ...\nMemoryError\n"), Status.MEMORY),
        (theirs(None, "TimeLimitExceeded"), Status.TIMEOUT),
        (theirs(-11), Status.SIGNAL),
        (theirs(0, stdout="x" * 3000), Status.OUTPUT_LIMIT),
    ],
)
def test_answers_of_another_make_are_understood(answer, status) -> None:
    read = RunCodeAnswer.model_validate_json(json.dumps(answer))
    assert outcome_of(read, 2000).status is status


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "SandboxError", "message": "exception on running code"},
        theirs(None, "Error"),
        theirs(None),
        {"status": "Failed"},
    ],
)
def test_a_failure_of_their_machinery_is_never_an_outcome(answer) -> None:
    with pytest.raises(InfrastructureError):
        outcome_of(RunCodeAnswer.model_validate_json(json.dumps(answer)), 2000)


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.SESSION_LOST])
def test_an_outcome_survives_the_wire(status) -> None:
    outcome = Outcome(status, "out\n", "err", truncated=status is Status.OUTPUT_LIMIT)
    wire = answer_of(outcome, 0.5).model_dump_json()
    assert outcome_of(RunCodeAnswer.model_validate_json(wire), 2000) == outcome


def test_a_request_that_does_not_arrive_is_not_waited_for() -> None:
    async def ask() -> list[dict[str, object]]:
        with Sandbox(LIMITS, num_workers=1) as sandbox:
            app = SandboxServer(sandbox, LIMITS, TOKEN, 1, body_s=0.1).app()
            sent: list[dict[str, object]] = []

            async def receive() -> dict[str, object]:
                await asyncio.sleep(60)
                return {}

            async def send(message: dict[str, object]) -> None:
                sent.append(message)

            headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
            scope = {"type": "http", "method": "POST", "path": "/run_code", "headers": headers, "query_string": b""}
            await app(scope, receive, send)
            return sent

    assert asyncio.run(ask())[0]["status"] == 408


def test_a_process_is_told_by_its_environment_where_calls_run(url, monkeypatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    monkeypatch.setenv(URL_ENV, f"{url}/run_code")
    with open_executor() as executor:
        assert isinstance(executor, RemoteSandbox)
        assert executor.run("6 * 7").stdout == "42\n"
        with pytest.raises(ValueError, match="has no sessions"):
            executor.session()
    with pytest.raises(ValueError, match="asks for tier 'bwrap'"):
        open_executor(SandboxTable(tier=Tier.BWRAP))
    monkeypatch.delenv(URL_ENV)
    with open_executor() as executor:
        assert isinstance(executor, Sandbox)


def test_the_recipe_says_what_a_call_may_take_here_and_on_a_server(url, monkeypatch) -> None:
    table = SandboxTable.model_validate({"limits": {"source_bytes": 4096, "wall_s": 0.5}})
    monkeypatch.delenv(URL_ENV, raising=False)
    with open_executor(table) as here:
        assert here.run("#" * 4097).status is Status.REJECTED
        assert here.run("6 * 7").stdout == "42\n"
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    monkeypatch.setenv(URL_ENV, url)
    with open_executor(SandboxTable(limits=Limits(wall_s=0.5))) as there:
        assert there.run("while 1: pass").status is Status.TIMEOUT
