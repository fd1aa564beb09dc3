// An identity provider (npm `oidc-provider`) for the tests of logins, on a free port of the loopback, and an API behind it.
//
// usage: node identity_provider.mjs CONFIGURATION
// The configuration is a JSON object: `clients` (client metadata; `key` is a public key in PEM), `access_life` and `refresh_life` in seconds,
// `rotate`, `grace_ms` (how long a refresh token that was used may be used again; reuse after that ends its family), `scope` of the tokens.
// Prints one line of JSON, `{ "url" }`, and ends with its standard input.
//
//   GET  /whoami       for access tokens, which it judges by its own clock, to the millisecond: `{ "name" }` or 401
//   POST /test/seed    a refresh token of a new family, as an authorization would give: `{ "client", "account" }`
//   POST /test/behave  what to do with the next requests to /token: see `behaviour`
//   GET  /test/seen    what has happened: see `seen`
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

import * as jose from 'jose';
import Provider, { errors } from 'oidc-provider';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

const configuration = JSON.parse(process.argv[2]);

/** What has happened so far. */
const seen = {
  // Answered requests to /token that were granted or refused, by grant type.
  granted: {},
  refused: [],
  // Uses of a refresh token that was used before, within the grace.
  again: 0,
  // Families that ended.
  revoked: 0,
  // Requests to /whoami.
  served: 0,
  unserved: [],
  // Requests to /token whose answers are held.
  held: 0,
};

/** How requests to /token are treated: `status` answers with that at once; `hold` does what is asked and keeps the answer for itself. */
let behaviour = {};

// What the provider keeps, and since when, to the millisecond: it counts in whole seconds itself.
const kept = new Map();

class Memory {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const ends = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
    kept.set(this.key(id), { payload, ends });
  }

  async find(id) {
    const found = kept.get(this.key(id));
    if (!found) return undefined;
    const { payload, used } = found;
    if (used === undefined) return payload;
    if (Date.now() >= used + (configuration.grace_ms ?? 0)) return { ...payload, consumed: Math.floor(used / 1000) };
    seen.again += 1;
    return payload;
  }

  async consume(id) {
    const found = kept.get(this.key(id));
    found.used ??= Date.now();
  }

  async destroy(id) {
    kept.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of kept) if (payload.grantId === grantId) kept.delete(key);
  }

  async findByUid() {}
  async findByUserCode() {}
}

function publicKey(pem) {
  return createPublicKey(pem);
}

function client({ key, ...metadata }) {
  const jwks = key && { keys: [{ ...publicKey(key).export({ format: 'jwk' }), use: 'sig' }] };
  return { redirect_uris: [], response_types: [], ...metadata, ...(jwks && { jwks }) };
}

async function grantTo(client, account) {
  const grant = new provider.Grant({ accountId: account, clientId: client.clientId });
  grant.addOIDCScope(configuration.scope);
  return grant.save();
}

async function issue(ctx, account, scope) {
  const { client } = ctx.oidc;
  const grantId = await grantTo(client, account);
  const token = new provider.AccessToken({ accountId: account, client, grantId, gty: ctx.oidc.params.grant_type, scope });
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: 'Bearer', scope };
}

async function verified(ctx, token, pem, expected) {
  try {
    return (await jose.jwtVerify(token, publicKey(pem), expected)).payload;
  } catch (error) {
    throw new errors.InvalidGrant(error.message);
  }
}

// RFC 7523: the client signs for whom it wants a token.
async function jwtBearer(ctx) {
  const { assertion, scope } = ctx.oidc.params;
  const pem = configuration.clients.find(({ client_id }) => client_id === ctx.oidc.client.clientId).grant_key;
  const expected = { issuer: ctx.oidc.client.clientId, audience: provider.issuer, requiredClaims: ['sub', 'exp', 'jti'] };
  const { sub } = await verified(ctx, assertion, pem, expected);
  await issue(ctx, sub, scope);
}

// RFC 8693: one of the tokens given out here, for another.
async function tokenExchange(ctx) {
  const { subject_token: subject, scope, audience } = ctx.oidc.params;
  const found = accessToken(subject);
  if (!found) throw new errors.InvalidGrant('the subject token is none');
  await issue(ctx, `${found.payload.accountId}@${audience ?? 'anywhere'}`, scope);
}

function accessToken(value) {
  const found = kept.get(`AccessToken:${value}`) ?? kept.get(`ClientCredentials:${value}`);
  return found && found.ends > Date.now() ? found : undefined;
}

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

const life = { access: configuration.access_life ?? 60, refresh: configuration.refresh_life ?? 3600 };
const provider = new Provider(url, {
  adapter: Memory,
  clients: configuration.clients.map(({ grant_key, ...metadata }) => client(metadata)),
  // With `offline_access` there are refresh tokens.
  scopes: [...configuration.scope.split(' '), 'offline_access'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: { enabled: false },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  jwks: { keys: [{ ...(await jose.exportJWK((await jose.generateKeyPair('RS256', { extractable: true })).privateKey)), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['the tests have no browser'] },
  rotateRefreshToken: configuration.rotate ?? true,
  ttl: { AccessToken: life.access, ClientCredentials: life.access, RefreshToken: life.refresh, Grant: life.refresh },
});
provider.registerGrantType(JWT_BEARER, jwtBearer, ['assertion', 'scope']);
provider.registerGrantType(TOKEN_EXCHANGE, tokenExchange, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope']);

provider.on('grant.success', ({ oidc }) => {
  const type = oidc.params.grant_type;
  seen.granted[type] = (seen.granted[type] ?? 0) + 1;
});
provider.on('grant.error', ({ oidc }, { error, error_description }) => {
  seen.refused.push({ grant_type: oidc?.params?.grant_type, error, error_description });
});
provider.on('grant.revoked', () => {
  seen.revoked += 1;
});
provider.on('server_error', (ctx, error) => console.error(error));

// Settles when held answers are let go.
let released = Promise.withResolvers();

const own = {
  'GET /whoami'(ctx) {
    const value = ctx.get('authorization').replace(/^Bearer /, '');
    const found = accessToken(value);
    if (found) {
      seen.served += 1;
      ctx.body = { name: found.payload.accountId ?? found.payload.clientId };
    } else {
      const old = kept.get(`AccessToken:${value}`);
      seen.unserved.push(old ? { late_ms: Date.now() - old.ends } : {});
      ctx.status = 401;
      ctx.body = {};
    }
  },
  async 'POST /test/seed'(ctx) {
    const { client: id, account } = await json(ctx.req);
    const client = await provider.Client.find(id);
    const grantId = await grantTo(client, account);
    const token = new provider.RefreshToken({ accountId: account, client, grantId, gty: 'authorization_code', scope: configuration.scope });
    ctx.body = { refresh_token: await token.save() };
  },
  async 'POST /test/behave'(ctx) {
    behaviour = await json(ctx.req);
    released.resolve();
    released = Promise.withResolvers();
    ctx.body = {};
  },
  'GET /test/seen'(ctx) {
    ctx.body = seen;
  },
};

provider.use(async (ctx, next) => {
  const act = own[`${ctx.method} ${ctx.path}`];
  if (act) return act(ctx);
  if (ctx.path !== '/token') return next();
  if (behaviour.status) {
    ctx.status = behaviour.status;
    ctx.body = '';
    return undefined;
  }
  await next();
  if (behaviour.hold) {
    seen.held += 1;
    await Promise.race([released.promise, once(ctx.res, 'close')]);
    seen.held -= 1;
  }
  return undefined;
});

server.on('request', provider.callback());
console.log(JSON.stringify({ url }));
process.stdin.resume().on('end', () => process.exit(0));
