// urql's own subscriptions, over Server-Sent Events: nothing but an option.
import assert from "node:assert/strict";
import { Client, fetchExchange } from "@urql/core";
import { check, headers, query } from "./following.mjs";

const client = (fetchOptions) =>
  new Client({ url: process.env.URL, exchanges: [fetchExchange], fetchSubscriptions: true, preferGetMethod: false, fetchOptions });
const mine = client({ headers });
const follow = (after, { next, error }) => {
  const { unsubscribe } = mine.subscription(query, { after: after.cursor }).subscribe((result) => {
    if (result.error) error(result.error);
    else next({ data: result.data });
  });
  return { cut: unsubscribe };
};
await check(follow, { comesBack: false });

const { error } = await new Promise((resolve) => client({}).subscription(query, {}).subscribe(resolve));
assert.equal(error.networkError, undefined);
assert.equal(error.graphQLErrors[0].extensions.code, "UNAUTHENTICATED");
console.log("ok");
