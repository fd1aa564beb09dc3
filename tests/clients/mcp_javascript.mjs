// Lists the tools of an MCP server and calls one, with a client from npm.
//
//     mcp_javascript.mjs CLIENT TOOL ARGUMENTS (URL | COMMAND [ARGUMENT...])
//
// CLIENT is `legacy` or `auto` (@modelcontextprotocol/client, without and with version negotiation) or `sdk1`
// (@modelcontextprotocol/sdk 1.x). ARGUMENTS is a JSON object. FERRATA_TEST_CLIENTS is the folder of installed clients, which
// `install` prints; a bearer token for a URL is taken from FERRATA_TEST_TOKEN. Prints one line of JSON: the client, the
// era and the revision that were agreed on, the tools' names, and of the call's result `isError`, the structured content,
// the texts and `_meta`. Exits with 1 when the protocol, not the tool, fails.

import { connect, load } from './mcp_clients.mjs';

const [, , which, tool, args, ...target] = process.argv;
const { client, ...transports } = load(which);
const transport = connect(transports, target);
await client.connect(transport);
const { tools } = await client.listTools();
const called = await client.callTool({ name: tool, arguments: JSON.parse(args) });
// The older client says what was agreed on only where there are headers to put it in.
const revision = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null;
console.log(
    JSON.stringify({
        client: `javascript-${which}`,
        era: (revision ?? '') >= '2026-07-28' ? 'modern' : 'legacy',
        revision,
        tools: tools.map((tool) => tool.name),
        isError: called.isError ?? false,
        structured: called.structuredContent ?? null,
        text: called.content.filter((part) => part.type === 'text').map((part) => part.text),
        meta: called._meta ?? null,
    }),
);
await client.close();
