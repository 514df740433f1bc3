/**
 * Creates a context, chats on it, generates with Gemini, and handles a call that fails. Run it
 * against `make run`; CONTEXTBRIDGE_ADDRESS names another server.
 */
import { randomUUID } from "node:crypto";

import { Client, ContextBridgeError, textOf } from "@contextbridge/client";
import { ContextMode } from "@contextbridge/client/v1";

const client = new Client(process.env["CONTEXTBRIDGE_ADDRESS"] ?? "127.0.0.1:50051");

const { context } = await client.createContext({
  model: "Doubao-1.5-pro-32k",
  messages: [{ role: "system", content: "You keep the lighthouse at Oban." }],
  mode: ContextMode.SESSION,
  ttl: { seconds: 3600n },
});
const contextId = context?.id ?? "";

const stream = client.chat({
  contextId,
  messages: [{ role: "user", content: "Where are you?" }],
  idempotencyKey: randomUUID(), // With it the stream resumes after a lost connection.
});
for await (const piece of stream.text()) {
  process.stdout.write(piece);
}
console.log();
const { usage } = await stream.answer();
console.log(`${usage?.cachedTokens} of ${usage?.promptTokens} prompt tokens came from the cache`);

const answer = await client.generateContent({
  model: "gemini-2.5-flash",
  contents: [{ role: "user", parts: [{ data: { case: "text", value: "Name one sea bird." } }] }],
});
console.log(textOf(answer));

try {
  await client.getContext("context-that-is-gone");
} catch (error) {
  if (!(error instanceof ContextBridgeError)) {
    throw error;
  }
  console.log(error.codeName, error.reason);
}

await client.deleteContext(contextId);
client.close();
