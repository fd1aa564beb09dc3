// An identity provider (npm `oidc-provider`) for the tests of logins, on a free port of the loopback, and an API behind it.
//
// usage: node identity_provider.mjs CONFIGURATION
// The configuration is a JSON object: `clients` (client metadata; `key` is a public key in PEM), `access_life` and `refresh_life` in seconds,
// `rotate`, `grace_ms` (how long a refresh token that was used may be used again; reuse after that ends its family), `scope` of the tokens.
// A token for the resource `urn:test:AUDIENCE:ALGORITHM` is a JWT (RFC 9068), signed with the provider's key for that algorithm.
// Prints one line of JSON, `{ "url" }`, and ends with its standard input.
//
//   GET  /whoami       for access tokens, which it judges by its own clock, to the millisecond: `{ "name" }` or 401
//   POST /test/seed    a refresh token of a new family, as an authorization would give: `{ "client", "account" }`
//   POST /test/token   an access token in the same way: `{ "client", "account", "resource" }`
//   POST /test/rotate  other signing keys, from now on
//   POST /test/behave  what to do with the next requests to /token: see `behaviour`
//   GET  /test/seen    what has happened: see `seen`
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';

import * as jose from 'jose';
import Provider from 'oidc-provider';

import { internal, register } from './identity_grants.mjs';

/** Life of an access token that a person has consented to, in seconds: for a whole test, however short those are that clients ask for. */
const CONSENTED_LIFE = 300;

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
  // How often the signing keys were asked for.
  keys: 0,
};

/**
 * How requests to /token are treated: `status` answers with that at once; `hold` does what is asked and keeps the answer for itself; `slow_ms`
 * does what is asked and keeps the answer for so long.
 */
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

// What a person consents to.
async function grantTo(client, account) {
  const grant = new provider.Grant({ accountId: account, clientId: client.clientId });
  grant.addOIDCScope(configuration.scope);
  return grant.save();
}

async function signingKeys() {
  const made = ['RS256', 'ES256'].map(async (alg) => {
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    return { ...(await jose.exportJWK(privateKey)), use: 'sig', alg };
  });
  return { keys: await Promise.all(made) };
}

/** A system that takes JWTs. */
function resourceServer(resource) {
  const [, , audience, alg] = resource.split(':');
  return { audience, scope: configuration.scope, accessTokenFormat: 'jwt', jwt: { sign: { alg } } };
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
    resourceIndicators: { enabled: true, getResourceServerInfo: (ctx, resource) => resourceServer(resource) },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  jwks: await signingKeys(),
  cookies: { keys: ['the tests have no browser'] },
  rotateRefreshToken: configuration.rotate ?? true,
  ttl: { AccessToken: life.access, ClientCredentials: life.access, RefreshToken: life.refresh, Grant: life.refresh },
});
const grantKeys = new Map(configuration.clients.map(({ client_id, grant_key }) => [client_id, grant_key && publicKey(grant_key).export({ format: 'jwk' })]));
register(provider, { grantTo, grantKey: (id) => grantKeys.get(id) });

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
  async 'POST /test/token'(ctx) {
    const { client: id, account, resource } = await json(ctx.req);
    const client = await provider.Client.find(id);
    const grantId = await grantTo(client, account);
    const consent = { accountId: account, client, grantId, gty: 'authorization_code', scope: configuration.scope };
    const token = new provider.AccessToken({ ...consent, expiresIn: CONSENTED_LIFE });
    if (resource) token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
    ctx.body = { access_token: await token.save() };
  },
  async 'POST /test/rotate'(ctx) {
    const { default: initialize } = await internal('helpers/initialize_keystore.js');
    initialize.call(provider, await signingKeys());
    ctx.body = {};
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
  if (ctx.path === '/jwks') seen.keys += 1;
  if (ctx.path !== '/token') return next();
  if (behaviour.status) {
    ctx.status = behaviour.status;
    ctx.body = '';
    return undefined;
  }
  await next();
  if (behaviour.slow_ms) await setTimeout(behaviour.slow_ms);
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
