// Apollo Client with graphql-ws: an event with its task changes the task in the cache, by its id.
import assert from "node:assert/strict";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { check, headers, query } from "./following.mjs";

globalThis.WebSocket = WebSocket; // as in a browser; the link asks it for a constant

const url = process.env.URL.replace("http", "ws");
const link = (connectionParams) =>
  new GraphQLWsLink(createClient({ url, webSocketImpl: WebSocket, connectionParams, lazyCloseTimeout: 0 }));
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    link(headers),
    new HttpLink({ uri: process.env.URL, headers }),
  ),
});
const follow = (after, { next, error }) => {
  const events = client.subscribe({ query: gql(query), variables: { after: after.cursor } });
  const subscription = events.subscribe({ next: (result) => (result.error ? error(result.error) : next(result)), error });
  return { cut: () => subscription.unsubscribe() };
};
await check(follow, { comesBack: false });

const TASKS = gql`{ viewer { id taskEventCursor tasks(first: 1) { nodes { id title } } } }`;
const { data } = await client.query({ query: TASKS });
const { viewer: { taskEventCursor: after, tasks: { nodes: [{ id }] } } } = data;
const FOLLOW = gql`subscription ($after: String) { taskChanged(after: $after) { cursor task { id title } } }`;
const changed = new Promise((resolve) => client.subscribe({ query: FOLLOW, variables: { after } }).subscribe(resolve));
const RENAME = `mutation ($id: ID!) { updateTask(input: { id: $id, patch: { title: "renamed" } }) { errors { message } } }`;
await fetch(process.env.URL, {
  method: "POST",
  headers: { ...headers, "content-type": "application/json" },
  body: JSON.stringify({ query: RENAME, variables: { id } }),
});
await changed;
assert.equal(client.readQuery({ query: TASKS }).viewer.tasks.nodes[0].title, "renamed");

const nobody = new ApolloClient({ cache: new InMemoryCache(), link: link({}) });
const refused = await new Promise((next) => nobody.subscribe({ query: gql(query) }).subscribe({ next, error: next }));
const error = refused.error ?? refused;
assert.ok(CombinedGraphQLErrors.is(error), `${error}`);
assert.equal(error.errors[0].extensions.code, "UNAUTHENTICATED");
console.log("ok");
process.exit(0);
