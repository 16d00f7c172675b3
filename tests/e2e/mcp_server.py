"""A server of tools as people write them, with the SDK that most of them use: `mcp_server.py stdio|http`."""

import pathlib
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("shelf")


@server.tool()
def add(left: int, right: int) -> int:
    """Adds two whole numbers."""
    return left + right


@server.tool()
def write(name: str, text: str) -> str:
    """Writes a file."""
    try:
        pathlib.Path(name).write_text(text)
    except OSError as error:
        return f"refused: {error.strerror}"
    return f"wrote {name}"


@server.tool()
def read(path: str) -> str:
    """Reads a file."""
    try:
        return pathlib.Path(path).read_text()
    except OSError as error:
        return f"refused: {error.strerror}"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        # Port 0 is any that is free; the server logs which.
        server.run("streamable-http", host="127.0.0.1", port=0)
