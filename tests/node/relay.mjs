// Relay: its compiler takes the schema, and its store pages with @connection and refetches a node by id.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import compiler from "relay-compiler";
import relay from "relay-runtime";

const folder = process.env.FOLDER; // has schema.graphql
const artifacts = join(folder, "artifacts");
mkdirSync(join(folder, "src"));
mkdirSync(artifacts);

writeFileSync(
  join(folder, "src", "Tasks.js"),
  `graphql\`
    query TasksQuery($first: Int!, $after: String) { viewer { ...Tasks_viewer @arguments(first: $first, after: $after) } }
  \`;
  graphql\`
    fragment Tasks_viewer on Viewer
    @argumentDefinitions(first: { type: "Int", defaultValue: 2 }, after: { type: "String" })
    @refetchable(queryName: "TasksPageQuery") {
      tasks(first: $first, after: $after) @connection(key: "Tasks_tasks") { edges { node { id ...Tasks_task } } }
    }
  \`;
  graphql\`fragment Tasks_task on Task @refetchable(queryName: "TasksTaskQuery") { id title completed }\`;
  graphql\`
    mutation TasksCreateMutation($input: CreateTaskInput!, $connections: [ID!]!) {
      createTask(input: $input) { taskEdge @prependEdge(connections: $connections) { cursor node { id title } } }
    }
  \`;`,
);
const config = {
  src: "./src", schema: "./schema.graphql", language: "javascript", artifactDirectory: "./artifacts",
  eagerEsModules: false,
};
writeFileSync(join(folder, "relay.config.json"), JSON.stringify(config));
writeFileSync(join(folder, "package.json"), "{}");
execFileSync(compiler, ["relay.config.json"], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });

const artifact = (name) => createRequire(import.meta.url)(join(artifacts, `${name}.graphql.js`));
const { Environment, Network, RecordSource, Store, ConnectionHandler, commitMutation, createOperationDescriptor,
  fetchQuery, getRequest } = relay;

const headers = { authorization: `Bearer ${process.env.TOKEN}`, "content-type": "application/json" };
const network = Network.create(async ({ text: query }, variables) => {
  const response = await fetch(process.env.URL, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return response.json();
});
const environment = new Environment({ network, store: new Store(new RecordSource()) });

const create = (title, connections) =>
  new Promise((onCompleted, onError) =>
    commitMutation(environment, {
      mutation: artifact("TasksCreateMutation"), variables: { input: { title }, connections }, onCompleted, onError,
    }));
const inStore = () => {
  const records = environment.getStore().getSource();
  const connection = Object.values(records.toJSON()).find(({ __id }) => __id.endsWith("__Tasks_tasks_connection"));
  return connection.edges.__refs.map((edge) => records.get(records.get(edge).node.__ref).title);
};

for (const title of ["one", "two", "three"]) await create(title, []);
const first = await fetchQuery(environment, artifact("TasksQuery"), { first: 2 }).toPromise();
environment.retain(createOperationDescriptor(getRequest(artifact("TasksQuery")), { first: 2 }));
assert.deepEqual(inStore(), ["three", "two"]);

const records = environment.getStore().getSource().toJSON();
const connection = Object.values(records).find(({ __id }) => __id.endsWith("__Tasks_tasks_connection"));
const { endCursor: after } = records[connection.pageInfo.__ref];
const id = Object.values(records).find(({ __typename }) => __typename === "Viewer").id;
await fetchQuery(environment, artifact("TasksPageQuery"), { first: 2, after, id }).toPromise();
assert.deepEqual(inStore(), ["three", "two", "one"]);

await create("four", [connection.__id]);
assert.deepEqual(inStore(), ["four", "three", "two", "one"]);
console.log("ok");
