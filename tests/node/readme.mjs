// The function that the README gives to front ends: it goes on when its token expires, and misses nothing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [, snippet] = /```js\nimport \{ createClient \} from "graphql-ws";\n(.*?)```/s.exec(readFileSync("../../README.md"));
const url = process.env.URL;
const tokens = [process.env.SHORT_TOKEN]; // first one that lives for a second, then one that lives on
const token = async () => tokens.shift() ?? process.env.TOKEN;
const connect = (options) => createClient({ ...options, url: url.replace("http", "ws"), webSocketImpl: WebSocket });
const body = `${snippet.replace("export function", "function")}\nreturn { client, follow };`;
const { client, follow } = new Function("createClient", "token", body)(connect, token);

const ask = async (query) => {
  const headers = { authorization: `Bearer ${process.env.TOKEN}`, "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
  return (await response.json()).data;
};
const titles = [];
follow((await ask("{ viewer { taskEventCursor } }")).viewer.taskEventCursor, ({ task }) => titles.push(task.title));
const expected = [];
for (let number = 0; number < 50; number++) {
  expected.push(`task ${number}`);
  await ask(`mutation { createTask(input: { title: "task ${number}" }) { task { id } } }`);
  await new Promise((resolve) => setTimeout(resolve, 60));
}
for (let waited = 0; titles.length < 50 && waited < 100; waited++) await new Promise((resolve) => setTimeout(resolve, 50));
assert.deepEqual(titles, expected);
assert.equal(tokens.length, 0);
await client.dispose();
console.log("ok");
