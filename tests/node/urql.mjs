// urql: a query, a mutation, a query by GET, and errors, with the Accept header that it sends by itself.
import assert from "node:assert/strict";
import { Client, fetchExchange, gql } from "@urql/core";

const options = { headers: { authorization: `Bearer ${process.env.TOKEN}` } };
const statuses = [];
const client = new Client({
  url: process.env.URL,
  exchanges: [fetchExchange],
  fetchOptions: options,
  preferGetMethod: false,
  fetch: async (...call) => {
    const response = await fetch(...call);
    statuses.push([call[1].method, response.status, response.headers.get("content-type").split(";")[0]]);
    return response;
  },
});
const media = "application/graphql-response+json";

const TITLES = gql`{ viewer { tasks { nodes { title } } } }`;
const CREATE = gql`mutation ($input: CreateTaskInput!) { createTask(input: $input) { task { id } errors { message } } }`;

const created = await client.mutation(CREATE, { input: { title: "Call mom" } });
assert.equal(created.error, undefined);
assert.deepEqual(created.data.createTask.errors, []);

for (const preferGetMethod of [false, "force"]) {
  const { data, error } = await client.query(TITLES, {}, { preferGetMethod });
  assert.equal(error, undefined);
  assert.deepEqual(data.viewer.tasks.nodes, [{ title: "Call mom" }]);
}

const { error } = await client.query(gql`{ nothing }`, {});
assert.equal(error.networkError, undefined);
assert.equal(error.graphQLErrors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");

assert.deepEqual(statuses, [["POST", 200, media], ["POST", 200, media], ["GET", 200, media], ["POST", 400, media]]);
console.log("ok");
