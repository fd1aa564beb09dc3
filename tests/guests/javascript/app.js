// A connector in JavaScript: proves that the interface can be implemented with componentize-js.
//
// `echo` answers its arguments; `fetch` makes one request with a secret in a header, says what the
// answer means, and returns status and body.

import { send } from 'ferrata:connector/http@0.1.0';
import { write } from 'ferrata:connector/log@0.1.0';

const MANIFEST = {
  name: 'javascript-guest',
  version: '0.1.0',
  description: 'A connector written in JavaScript, for tests',
  settings: { type: 'object', additionalProperties: false },
  upstreams: [{ name: 'api', kind: 'http', description: 'Any HTTP server.' }],
  credentials: [{ name: 'bot', fields: [{ name: 'token' }], upstreams: ['api'] }],
  operations: [{ label: 'fetch', upstream: 'api', method: 'GET', path: '/{path...}', effect: 'read' }],
};

const object = (properties) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});
const ECHO = object({ text: { type: 'string' } });
const FETCH_INPUT = object({ path: { type: 'string', pattern: '^/' } });
const FETCH_OUTPUT = object({ status: { type: 'integer' }, body: { type: 'string' } });

export const manifest = {
  describe: () => JSON.stringify(MANIFEST),
};

export const tools = {
  listTools: () => [
    tool('echo', 'Answers what it was told.', ECHO, ECHO),
    tool('fetch', 'Fetches a path of the upstream.', FETCH_INPUT, FETCH_OUTPUT),
  ],
  call: (name, invocations) => invocations.map((invocation) => answer(name, JSON.parse(invocation.arguments))),
};

function tool(name, description, accepts, returns) {
  return {
    name,
    title: name[0].toUpperCase() + name.slice(1),
    description,
    inputSchema: JSON.stringify(accepts),
    outputSchema: JSON.stringify(returns),
    effect: 'read',
    firstOperation: 'fetch',
    maxBatch: 1,
  };
}

function answer(name, args) {
  try {
    return { tag: 'ok', val: JSON.stringify(name === 'fetch' ? fetchPath(args.path) : args) };
  } catch (failure) {
    // A fault of the host, thrown by an import, carries the record as its payload: handed on as it came, with its ticket.
    if (failure.payload === undefined) throw failure;
    return { tag: 'err', val: failure.payload };
  }
}

function fetchPath(path) {
  write('debug', `fetching ${path}`);
  const exchange = send(request(path));
  try {
    while (exchange.settle(verdict(exchange)) === 'sent-again');
    if (exchange.status() === 404) throw { payload: fault('not-found', `There is nothing at ${path}.`) };
    return { status: exchange.status(), body: new TextDecoder().decode(exchange.body()) };
  } finally {
    // Without this the handle lives until the sandbox dies.
    exchange[Symbol.dispose]();
  }
}

function request(path) {
  const bearer = { encoding: 'raw', atoms: [bytes('Bearer '), { tag: 'secret', val: 'bot.token' }] };
  return {
    upstream: 'api',
    operation: 'fetch',
    effect: 'read',
    method: 'GET',
    path,
    headers: [{ name: 'authorization', value: [bearer] }],
    body: [],
    options: undefined,
  };
}

function bytes(text) {
  return { tag: 'bytes', val: new TextEncoder().encode(text) };
}

function verdict(exchange) {
  const status = exchange.status();
  if (status === 429) {
    const seconds = exchange.header('retry-after');
    const wait = /^\d+$/.test(seconds ?? '') ? BigInt(seconds) * 1000n : undefined;
    return { tag: 'throttled', val: { retryAfterMs: wait, scope: undefined } };
  }
  if (status === 401) return { tag: 'unauthenticated' };
  if (status >= 500) return { tag: 'transient' };
  return { tag: status >= 400 ? 'rejected' : 'ok' };
}

function fault(kind, message) {
  return { kind, message, code: undefined, path: undefined, retryAfterMs: undefined, ticket: undefined, details: undefined };
}
