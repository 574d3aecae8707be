// Better Auth on the PostgreSQL of DATABASE_URL, on a port of its own. Once it listens it prints one line of JSON: its
// origin, and how many tables its migration had to make or change. It ends when its standard input does.
import { once } from "node:events";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { toNodeHandler } from "better-auth/node";
import { admin, bearer, jwt } from "better-auth/plugins";
import pg from "pg";

// it moved in 1.5
const { getMigrations } = await import("better-auth/db/migration").catch(() => import("better-auth/db"));

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const origin = `http://127.0.0.1:${server.address().port}`;

const options = {
  baseURL: origin,
  secret: process.env.BETTER_AUTH_SECRET,
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  user: { deleteUser: { enabled: true } },
  plugins: [jwt(), bearer(), admin()],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
};
const { toBeCreated, toBeAdded, runMigrations } = await getMigrations(options);
await runMigrations();
server.on("request", toNodeHandler(betterAuth(options)));
console.log(JSON.stringify({ origin, changes: toBeCreated.length + toBeAdded.length }));

process.stdin.resume().on("end", () => process.exit());
