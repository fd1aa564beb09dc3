// The grants that npm `oidc-provider` leaves to whoever runs it, on its own models: who the client is, it has judged before; signatures, times and
// replays are judged by its own functions; what is granted are its own access tokens.
import { errors } from 'oidc-provider';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';

/** A module of the library that it does not export. */
export function internal(path) {
  return import(new URL(path, import.meta.resolve('oidc-provider')));
}

const [JWT, { default: KeyStore }, { default: instance }] = await Promise.all(
  ['helpers/jwt.js', 'helpers/keystore.js', 'helpers/weak_cache.js'].map(internal),
);

/** Registers both. `grantTo` saves what somebody consents to; `grantKey` knows a client's public key for assertions, as a JWK. */
export function register(provider, { grantTo, grantKey }) {
  provider.registerGrantType(JWT_BEARER, jwtBearer, ['assertion', 'scope']);
  const asked = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope'];
  provider.registerGrantType(TOKEN_EXCHANGE, tokenExchange, asked);

  // RFC 7523: the client signs for whom it wants a token.
  async function jwtBearer(ctx) {
    const { clientId } = ctx.oidc.client;
    const expected = { issuer: clientId, audience: provider.issuer, subject: true };
    const { sub, exp, jti } = await verified(need(ctx, 'assertion'), new KeyStore([grantKey(clientId)]), expected);
    if (!exp || !jti) throw new errors.InvalidGrant('an assertion must say when it ends, and have a name');
    if (!(await provider.ReplayDetection.unique(clientId, jti, exp))) throw new errors.InvalidGrant('the assertion was used before');
    await issue(ctx, sub);
  }

  // RFC 8693: one of the tokens given out here, for another.
  async function tokenExchange(ctx) {
    const account = await subject(need(ctx, 'subject_token'), need(ctx, 'subject_token_type'));
    const { audience, requested_token_type: requested = `${TYPE}access_token` } = ctx.oidc.params;
    if (requested !== `${TYPE}access_token`) throw new errors.InvalidRequest('there are only access tokens here');
    await issue(ctx, `${account}@${audience ?? 'anywhere'}`);
    ctx.body.issued_token_type = requested;
  }

  async function subject(token, type) {
    if (type === `${TYPE}jwt`) {
      return (await verified(token, instance(provider).keystore, { issuer: provider.issuer, subject: true })).sub;
    }
    if (type !== `${TYPE}access_token`) throw new errors.InvalidRequest('subject_token_type is not known');
    const found = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
    if (!found) throw new errors.InvalidGrant('the subject token is none');
    return found.accountId ?? found.clientId;
  }

  async function issue(ctx, account) {
    const { client, params } = ctx.oidc;
    const grantId = await grantTo(client, account);
    const token = new provider.AccessToken({ accountId: account, client, grantId, gty: params.grant_type, scope: params.scope });
    ctx.oidc.entity('AccessToken', token);
    const access = await token.save();
    ctx.body = { access_token: access, expires_in: token.expiration, token_type: token.tokenType, scope: token.scope };
  }
}

function need(ctx, name) {
  const value = ctx.oidc.params[name];
  if (!value) throw new errors.InvalidRequest(`${name} is missing`);
  return value;
}

async function verified(token, keys, expected) {
  try {
    return (await JWT.verify(token, keys, expected)).payload;
  } catch (error) {
    throw new errors.InvalidGrant(error.message);
  }
}
