// Apollo Client: a query, a mutation that changes the cached task by its id, and errors.
import assert from "node:assert/strict";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client/core";

const headers = { authorization: `Bearer ${process.env.TOKEN}` };
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: new HttpLink({ uri: process.env.URL, headers }),
});

const CREATE = gql`
  mutation ($input: CreateTaskInput!) { createTask(input: $input) { task { id title completed } errors { message } } }
`;
const TASKS = gql`{ viewer { id tasks { nodes { id title completed } } } }`;
const TOGGLE = gql`
  mutation ($input: ToggleTaskInput!) { toggleTask(input: $input) { task { id completed } errors { message } } }
`;

const created = await client.mutate({ mutation: CREATE, variables: { input: { title: "Buy milk" } } });
const { id } = created.data.createTask.task;

const listed = await client.query({ query: TASKS });
assert.deepEqual(listed.data.viewer.tasks.nodes, [{ __typename: "Task", id, title: "Buy milk", completed: false }]);

await client.mutate({ mutation: TOGGLE, variables: { input: { id } } });
const cached = client.readQuery({ query: TASKS });
assert.equal(cached.viewer.tasks.nodes[0].completed, true);

for (const [query, code] of [
  [gql`{ nothing }`, "GRAPHQL_VALIDATION_FAILED"],
  [gql`{ task(id: "x") { id } }`, "BAD_USER_INPUT"],
]) {
  const { error } = await client.query({ query, errorPolicy: "all" });
  assert.ok(CombinedGraphQLErrors.is(error), `${error}`);
  assert.equal(error.errors[0].extensions.code, code);
}
console.log("ok");
