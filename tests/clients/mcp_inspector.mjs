// Lists the tools of an MCP server and calls one, with the Inspector's command line.
//
//     mcp_inspector.mjs TOOL ARGUMENTS (URL | COMMAND [ARGUMENT...])
//
// Takes its environment and prints one line as `mcp_javascript.mjs` does, without a revision, which the Inspector does
// not say. Wants the Node that is pinned among the packages: the machine's may be too old for the Inspector.

import { spawnSync } from 'node:child_process';

const [, , tool, args, ...target] = process.argv;
const launcher = '@modelcontextprotocol/inspector/clients/launcher/build/index.js';
const modules = `${process.env.FERRATA_TEST_CLIENTS}/javascript/node_modules`;

// The Inspector's exit code for a tool that answered with isError.
const TOOL_FAILED = 5;

function inspect(...method) {
    const token = process.env.FERRATA_TEST_TOKEN;
    const headers = token && target[0].startsWith('http') ? ['--header', `Authorization: Bearer ${token}`] : [];
    const command = [`${modules}/${launcher}`, '--cli', ...headers, '--method', ...method, '--', ...target];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    if (status !== 0 && status !== TOOL_FAILED) {
        console.error(stderr || stdout);
        process.exit(1);
    }
    return JSON.parse(stdout);
}

// It takes arguments as KEY=VALUE and reads each value as JSON where it can.
const pairs = Object.entries(JSON.parse(args)).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
);
const { tools } = inspect('tools/list');
const called = inspect('tools/call', '--tool-name', tool, ...pairs.flatMap((pair) => ['--tool-arg', pair]));
console.log(
    JSON.stringify({
        client: 'inspector',
        tools: tools.map((tool) => tool.name),
        isError: called.isError ?? false,
        structured: called.structuredContent ?? null,
        text: called.content.filter((part) => part.type === 'text').map((part) => part.text),
        meta: called._meta ?? null,
    }),
);
