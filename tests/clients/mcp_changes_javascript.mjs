// Waits until an MCP server says that its list of tools has changed, with a client from npm.
//
//     mcp_changes_javascript.mjs CLIENT (URL | COMMAND [ARGUMENT...])
//
// CLIENT and the environment are those of `mcp_javascript.mjs`. Prints two lines of JSON, each with the tools' names: one
// once it listens, one after the change. Exits with 1 when no change is heard within a minute.

import { connect, load } from './mcp_clients.mjs';

const [, , which, ...target] = process.argv;
const PATIENCE_MS = 60_000;

let onChanged;
const heard = new Promise((resolve, reject) => {
    onChanged = (error, tools) => (error ? reject(error) : resolve(tools));
    setTimeout(() => reject(new Error('no change was heard')), PATIENCE_MS).unref();
});
const { client, ...transports } = load(which, { listChanged: { tools: { onChanged } } });
const say = (tools) => console.log(JSON.stringify({ client: `javascript-${which}`, tools: tools.map(({ name }) => name) }));

await client.connect(connect(transports, target));
say((await client.listTools()).tools);
say(await heard);
await client.close();
