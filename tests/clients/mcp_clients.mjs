// The npm clients that the scripts here use, and how each reaches a server.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.FERRATA_TEST_CLIENTS}/javascript/`);
const identity = { name: 'ferrata-test', version: '1.0.0' };

// `legacy` and `auto` are @modelcontextprotocol/client without and with version negotiation, `sdk1` is
// @modelcontextprotocol/sdk 1.x.
export function load(which, options = {}) {
    if (which === 'sdk1') {
        const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
        const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
        const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
        return { client: new Client(identity, options), StdioClientTransport, StreamableHTTPClientTransport };
    }
    const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
    const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');
    const negotiation = which === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {};
    const client = new Client(identity, { ...negotiation, ...options });
    return { client, StdioClientTransport, StreamableHTTPClientTransport };
}

// A URL, or a command that speaks over its pipe.
export function connect({ StdioClientTransport, StreamableHTTPClientTransport }, target) {
    if (!target[0].startsWith('http')) {
        return new StdioClientTransport({ command: target[0], args: target.slice(1), env: process.env });
    }
    const token = process.env.FERRATA_TEST_TOKEN;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    return new StreamableHTTPClientTransport(new URL(target[0]), { requestInit: { headers } });
}
