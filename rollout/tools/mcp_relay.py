"""`python -m rollout.tools.mcp_relay MAX_BYTES COMMAND ...`: an MCP server on stdio whose lines have a largest length.

The SDK's client collects a line until it ends, however long it gets. Between it and the server stands this process, which
ends the server at a line of more than MAX_BYTES and says FLOODED on stderr; of a server that ends by itself, which a kill
from outside is not, it says ENDED. Of the server's own stderr it keeps the tail.
"""

import os
import signal
import subprocess
import sys
from collections import deque
from threading import Thread
from typing import IO

FLOODED, ENDED = "[flooded]", "[ended by itself]"
TAIL_BYTES = 4096
_CHUNK_BYTES = 1024


def main() -> int:
    """Relay until the server ends; returns its exit status."""
    max_bytes, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is for the host alone
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stderr is not None
    tail: deque[bytes] = deque(maxlen=TAIL_BYTES // _CHUNK_BYTES)
    listener = Thread(target=_keep, args=(server.stderr, tail), daemon=True)
    listener.start()
    flooded = _relay(server.stdout, int(max_bytes))
    if flooded:
        server.kill()
    status = server.wait()
    listener.join(1.0)
    ending = FLOODED if flooded else ENDED if status != -signal.SIGKILL else ""
    sys.stderr.write(b"".join(tail).decode(errors="replace") + ending)
    return status


def _relay(lines: IO[bytes], max_bytes: int) -> bool:
    """Hand over line by line; returns whether one was too long. What is no JSON object (a stray print) is left out."""
    while line := lines.readline(max_bytes + 1):
        if len(line) > max_bytes:
            return True
        if line.startswith(b"{"):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    return False


def _keep(stream: IO[bytes], tail: deque[bytes]) -> None:
    while chunk := os.read(stream.fileno(), _CHUNK_BYTES):
        tail.append(chunk)


if __name__ == "__main__":
    sys.exit(main())
