// What every client that follows must get: events one by one, and after a cut line those that it missed, each once.
import assert from "node:assert/strict";

export const headers = { authorization: `Bearer ${process.env.TOKEN}` };

export const query = `subscription ($after: String) {
  taskChanged(after: $after) { cursor kind task { title } actor { name } }
}`;

export async function ask(query, variables) {
  const body = JSON.stringify({ query, variables });
  const init = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body };
  const { data, errors } = await (await fetch(process.env.URL, init)).json();
  assert.equal(errors, undefined);
  return data;
}

export async function create(title) {
  const mutation = `mutation ($title: String!) { createTask(input: { title: $title }) { errors { message } } }`;
  assert.deepEqual((await ask(mutation, { title })).createTask.errors, []);
}

export const now = async () => (await ask("{ viewer { taskEventCursor } }")).viewer.taskEventCursor;

// `follow(after, { next, error })` begins to follow and gives `cut`, which breaks the line as a network does;
// whatever comes back by itself goes on with `after.cursor`.
export async function check(follow, { comesBack }) {
  const after = { cursor: await now() };
  const titles = [];
  let awaited, arrived;
  const next = ({ data, errors }) => {
    assert.equal(errors, undefined);
    const { cursor, kind, task, actor } = data.taskChanged;
    assert.deepEqual([kind, actor.name], ["CREATED", "Ada"]);
    after.cursor = cursor;
    titles.push(task.title);
    if (titles.length === awaited) arrived();
  };
  const until = (count) =>
    new Promise((resolve) => {
      [awaited, arrived] = [count, resolve];
      if (titles.length >= count) resolve();
    });
  const failed = (reason) => {
    console.log("failed", reason);
    process.exit(1);
  };

  let following = follow(after, { next, error: failed });
  const made = [];
  for (let round = 0; round < 3; round++) {
    made.push(`live ${round}`);
    await create(made.at(-1));
    await until(made.length);
    await following.cut();
    for (const n of [1, 2]) {
      made.push(`missed ${round}.${n}`);
      await create(made.at(-1));
    }
    if (!comesBack) following = follow(after, { next, error: failed });
    await until(made.length);
  }
  made.push("last");
  await create("last");
  await until(made.length);
  await new Promise((resolve) => setTimeout(resolve, 200)); // what comes twice has come by now
  assert.deepEqual(titles, made);
  if (!comesBack) following.cut();
}
