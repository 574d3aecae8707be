// The official audit of GraphQL over HTTP: every check, whatever its level, must be ok.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.env.URL });
for (const result of results.filter(({ status }) => status !== "ok")) {
  console.log(result.status, result.id, result.name, result.reason);
}
console.log(`${results.filter(({ status }) => status === "ok").length} of ${results.length} ok`);
