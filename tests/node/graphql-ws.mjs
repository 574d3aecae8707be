// graphql-ws: follow, lose the line, come back with the last cursor; and what a client without a credential is told.
import assert from "node:assert/strict";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { check, headers, query } from "./following.mjs";

const url = process.env.URL.replace("http", "ws");
const sockets = [];
class Socket extends WebSocket {
  constructor(...given) {
    super(...given);
    sockets.push(this);
  }
}

const client = createClient({
  url,
  webSocketImpl: Socket,
  connectionParams: async () => headers,
  retryAttempts: 5,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
});
const follow = (after, sink) => {
  // it sends the same variables object again after a reconnect, with what it has by then
  const variables = { get after() { return after.cursor; } };
  client.subscribe({ query, variables }, { ...sink, complete: () => {} });
  return { cut: () => sockets.at(-1).terminate() };
};
await check(follow, { comesBack: true });
assert.equal(sockets.length, 4);
await client.dispose();

const results = createClient({ url, webSocketImpl: WebSocket, connectionParams: headers });
const { value } = await results.iterate({ query: "{ viewer { name } }" }).next();
assert.deepEqual(value, { data: { viewer: { name: "Ada" } } });
await results.dispose();

const nobody = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0 });
await assert.rejects(nobody.iterate({ query }).next(), ([error]) => error.extensions.code === "UNAUTHENTICATED");
await nobody.dispose();

const bad = { Authorization: "Bearer x" };
const forger = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: bad });
await assert.rejects(forger.iterate({ query }).next(), ({ code }) => code === 4403);

// who is sent away with 4403 asks for a new token, and comes again
const tokens = [bad, headers];
const renewing = createClient({
  url, webSocketImpl: WebSocket, connectionParams: () => tokens.shift(), retryWait: async () => {},
});
const { value: again } = await renewing.iterate({ query: "{ viewer { name } }" }).next();
assert.deepEqual(again, { data: { viewer: { name: "Ada" } } });
await renewing.dispose();
console.log("ok");
