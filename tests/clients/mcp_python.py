"""Lists the tools of an MCP server and calls one, with the client of PyPI `mcp`.

    mcp_python.py ERA TOOL ARGUMENTS (URL | COMMAND [ARGUMENT...])

ERA is `auto` (the client's default), `legacy` (initialize) or a revision such as `2026-07-28`. ARGUMENTS is a JSON object.
A bearer token for a URL is taken from FERRATA_TEST_TOKEN. Prints one line of JSON, as `mcp_javascript.mjs` does. Exits
with 1 when the protocol, not the tool, fails.
"""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


def server(target):
    """What to connect to: a URL, or a command that speaks over its pipe."""
    if not target[0].startswith("http"):
        return StdioServerParameters(command=target[0], args=target[1:], env=dict(os.environ))
    token = os.environ.get("FERRATA_TEST_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return streamable_http_client(target[0], http_client=create_mcp_http_client(headers=headers))


async def main(era, tool, arguments, *target):
    async with Client(server(target), mode=era, read_timeout_seconds=60) as client:
        listed = await client.list_tools()
        called = await client.call_tool(tool, json.loads(arguments))
        return {
            "client": "python-mcp",
            "era": "modern" if client.protocol_version >= "2026-07-28" else "legacy",
            "revision": client.protocol_version,
            "tools": [tool.name for tool in listed.tools],
            "isError": called.is_error,
            "structured": called.structured_content,
            "text": [part.text for part in called.content if part.type == "text"],
            "meta": called.meta,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
