// graphql-sse: follow, lose the line, come back with the last cursor; and what a client without a credential is told.
import assert from "node:assert/strict";
import { createClient } from "graphql-sse";
import { check, headers, query } from "./following.mjs";

const url = process.env.URL;
const lines = [];
// a network that can be cut in the middle of an answer
const cuttable = async (input, init) => {
  const response = await fetch(input, init);
  let cut;
  const broken = new Promise((_, reject) => { cut = () => reject(new TypeError("terminated")); });
  broken.catch(() => {});
  const reader = response.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      const { value, done } = await Promise.race([reader.read(), broken]);
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  lines.push({ cut: async () => { cut(); await reader.cancel(); } });
  return new Response(body, { status: response.status, headers: response.headers });
};

const client = createClient({
  url, headers, fetchFn: cuttable, retryAttempts: 5, retry: () => new Promise((resolve) => setTimeout(resolve, 50)),
});
const follow = (after, sink) => {
  const variables = { get after() { return after.cursor; } };
  client.subscribe({ query, variables }, { ...sink, complete: () => {} });
  return { cut: () => lines.at(-1).cut() };
};
await check(follow, { comesBack: true });
assert.equal(lines.length, 4);
client.dispose();

const first = async (options, query) => {
  for await (const result of createClient({ url, retryAttempts: 0, ...options }).iterate({ query })) return result;
};
assert.deepEqual(await first({ headers }, "{ viewer { name } }"), { data: { viewer: { name: "Ada" } } });
for (const [options, query_, code] of [
  [{}, query, "UNAUTHENTICATED"],
  [{ headers }, "subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"],
]) {
  const { errors: [error] } = await first(options, query_);
  assert.equal(error.extensions.code, code);
}
const forger = { headers: { authorization: "Bearer x" } };
await assert.rejects(first(forger, query), ({ response }) => response.status === 401);
console.log("ok");
