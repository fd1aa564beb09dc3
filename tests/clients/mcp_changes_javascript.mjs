// Waits until an MCP server says that its list of tools has changed, with a client from npm.
//
//     mcp_changes_javascript.mjs CLIENT (URL | COMMAND [ARGUMENT...])
//
// CLIENT and the environment are those of `mcp_javascript.mjs`. Prints two lines of JSON, each with the tools' names: one
// once it listens, one after the change. Exits with 1 when no change is heard within a minute.

import { connect, load } from './mcp_clients.mjs';

const [, , which, ...target] = process.argv;
const PATIENCE_MS = 60_000;

const heard = Promise.withResolvers();
const options = { listChanged: { tools: { onChanged: (error, tools) => (error ? heard.reject(error) : heard.resolve(tools)) } } };
const { client, ...transports } = load(which, options);
const say = (tools) => console.log(JSON.stringify({ client: `javascript-${which}`, tools: tools.map(({ name }) => name) }));

setTimeout(() => heard.reject(new Error('no change was heard')), PATIENCE_MS).unref();
await client.connect(connect(transports, target));
say((await client.listTools()).tools);
say(await heard.promise);
await client.close();
