// A connector in JavaScript: proves that the interface can be implemented with componentize-js.
//
// `echo` answers its arguments; `fetch` makes one request with a secret in a header, says what the
// answer means, and returns status and body. `greet` reports progress, asks for a name, and answers with content.

import { canBring, reportProgress } from 'ferrata:connector/agent@0.1.0';
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
const NAME_FORM = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
const FETCH_OUTPUT = object({ status: { type: 'integer' }, body: { type: 'string' } });

export const manifest = {
  describe: () => JSON.stringify(MANIFEST),
};

export const tools = {
  listTools: () => [
    tool('echo', 'Answers what it was told.', ECHO, ECHO),
    tool('fetch', 'Fetches a path of the upstream.', FETCH_INPUT, FETCH_OUTPUT),
    tool('greet', 'Greets whoever it is.', object({}), undefined),
  ],
  call: (name, invocations) => invocations.map((invocation) => answer(name, invocation)),
};

function tool(name, description, accepts, returns) {
  return {
    name,
    title: name[0].toUpperCase() + name.slice(1),
    description,
    inputSchema: JSON.stringify(accepts),
    outputSchema: returns && JSON.stringify(returns),
    effect: 'read',
    firstOperation: 'fetch',
    maxBatch: 1,
  };
}

function answer(name, invocation) {
  try {
    if (name === 'greet') return { tag: 'ok', val: greet(invocation.inputs) };
    const args = JSON.parse(invocation.arguments);
    const result = name === 'fetch' ? fetchPath(args.path) : args;
    return { tag: 'ok', val: { tag: 'object', val: JSON.stringify(result) } };
  } catch (failure) {
    // A fault of the host, thrown by an import, carries the record as its payload: handed on as it came, with its ticket.
    if (failure.payload === undefined) throw failure;
    return { tag: 'err', val: failure.payload };
  }
}

function greet(inputs) {
  if (inputs === undefined) {
    reportProgress(1, 2, 'asking');
    const params = { message: 'Who?', requestedSchema: NAME_FORM };
    const requests = { who: { method: 'elicitation/create', params } };
    return { tag: 'input-required', val: { requests: JSON.stringify(requests), state: 'asked' } };
  }
  const { name } = JSON.parse(inputs.responses).who.content;
  const text = `${name}, ${inputs.state}, ${canBring()}`;
  return { tag: 'content', val: { blocks: JSON.stringify([{ type: 'text', text }]), structured: undefined } };
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
