"""An MCP server that does all that a server should not: `python odd_server.py [PORT]` (stdio, or HTTP on the loopback)."""

import os
import sys
import time

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("odd")
counted = 0


@server.tool()
def count() -> int:
    """Counts the calls of its process."""
    global counted
    counted += 1
    return counted


@server.tool()
def note(word: str) -> str:
    """Shares the process with `count`."""
    return f"{word}{count()}"


@server.tool()
def refuse(why: str) -> str:
    """Says no."""
    raise ToolError(why)


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(3)


@server.tool()
def process() -> int:
    """The id of the process."""
    return os.getpid()


@server.tool()
def hang() -> str:
    """Never answers."""
    time.sleep(1e6)
    return ""


@server.tool()
def long(size: int) -> str:
    """Answers with much text."""
    return "a" * (size // 2) + "b" * (size // 2)


@server.tool()
async def block() -> str:
    """Never answers, and lets nothing else be answered either."""
    time.sleep(1e6)
    return ""


@server.tool()
def chatter() -> str:
    """Complains without end on stderr, then answers."""
    for _ in range(2000):
        os.write(2, b"complaint " * 100 + b"\n")
    return "done"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(transport="streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
