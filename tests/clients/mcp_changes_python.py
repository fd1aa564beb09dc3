"""Waits until an MCP server says that its list of tools has changed, with the client of PyPI `mcp`.

    mcp_changes_python.py ERA (URL | COMMAND [ARGUMENT...])

ERA and the environment are those of `mcp_python.py`. Prints two lines of JSON, each with the tools' names: one once it
listens, one after the change. Exits with 1 when no change is heard within a minute.
"""

import asyncio
import json
import sys

from mcp import Client
from mcp_python import server

PATIENCE_SECONDS = 60


async def names(client):
    return [tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools]


async def said(client, line):
    print(json.dumps({"client": "python-mcp", "revision": client.protocol_version, **line}), flush=True)


async def main(era, *target):
    changed = asyncio.Event()

    async def heard(message):
        if getattr(message, "method", None) == "notifications/tools/list_changed":
            changed.set()

    async with Client(server(target), mode=era, message_handler=heard) as client, asyncio.timeout(PATIENCE_SECONDS):
        if client.protocol_version < "2026-07-28":
            await said(client, {"tools": await names(client)})
            await changed.wait()
        else:
            async with client.listen(tools_list_changed=True) as subscription:
                await said(client, {"tools": await names(client)})
                await anext(aiter(subscription))
        await said(client, {"tools": await names(client)})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
