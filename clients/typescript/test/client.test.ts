import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../src/generated/google/rpc/error_details_pb.js";
import { targetOf } from "../src/connection.js";
import { Client, type ClientOptions, ContextBridgeError, textOf, VERSION } from "../src/index.js";
import {
  type ChatWithContextRequest,
  type ChatWithContextResponseSchema,
  ContextService,
} from "../src/v1.js";

type Event = MessageInitShape<typeof ChatWithContextResponseSchema>;
type Chat = ServiceImpl<typeof ContextService>["chatWithContext"];

const cleanups: (() => void)[] = [];

after(() => {
  for (const cleanup of cleanups.splice(0)) {
    cleanup();
  }
});

const ports = new WeakMap<Client, number>();

/** Returns the port of a client's server. */
function portOf(client: Client): number {
  return ports.get(client) ?? 0;
}

/** Starts a server and returns a client of it. */
async function serve(
  service: Partial<ServiceImpl<typeof ContextService>>,
  options?: ClientOptions,
): Promise<Client> {
  const routes = connectNodeAdapter({
    routes: (router) => router.service(ContextService, service),
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer(routes).on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new Client(`127.0.0.1:${port}`, options);
  ports.set(client, port);
  cleanups.push(() => {
    client.close();
    sessions.forEach((session) => {
      session.destroy();
    });
    server.close();
  });
  return client;
}

function numbered(...events: Event["event"][]): Event[] {
  return events.map((event, place) => ({ sequence: place + 1, event }) as Event);
}

const started = (resumable = true): Event["event"] => ({
  case: "started",
  value: { id: "a-1", resumable },
});
const content = (text: string): Event["event"] => ({ case: "content", value: { text } });
const completed: Event["event"] = { case: "completed", value: { usage: { totalTokens: 7 } } };
const HELLO = numbered(started(), content("Hel"), content("lo"), completed);

const NAMED = { contextId: "ctx-1", model: "m", idempotencyKey: "r-1" };
const AT_ONCE = { resume: { initialBackoffMs: 0 } };

/** Sends one event a call, breaks off after each but the last, and notes what was asked for. */
function oneEach(events: Event[], code: Code, asked: number[]): Chat {
  return async function* ({ resumeAfter }: ChatWithContextRequest) {
    asked.push(resumeAfter);
    await Promise.resolve();
    yield events[resumeAfter] ?? {};
    if (resumeAfter + 1 < events.length) {
      throw new ConnectError("cut off", code);
    }
  };
}

function failing(error: ConnectError | undefined, asked: number[] = []): Chat {
  // eslint-disable-next-line require-yield -- It fails before its first event.
  return async function* ({ resumeAfter }: ChatWithContextRequest) {
    asked.push(resumeAfter);
    await Promise.resolve();
    if (error) {
      throw error;
    }
  };
}

function withReason(code: Code, reason: string): ConnectError {
  const metadata = { requestId: "q-1", upstreamMessage: "No." };
  return new ConnectError("It said no.", code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: "contextbridge.dev", metadata } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 3600n, nanos: 500_000_000 } } },
    { desc: RequestInfoSchema, value: { requestId: "q-1" } },
    {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: "model", description: "It is empty." }] },
    },
  ]);
}

async function failureOf(call: Promise<unknown>): Promise<ContextBridgeError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ContextBridgeError, `failed with ${String(error)}`);
  return error;
}

for (const code of [Code.Unavailable, Code.Canceled, Code.Internal, Code.Unknown]) {
  test(`a stream that breaks with ${Code[code]} after each event is one sequence`, async () => {
    const asked: number[] = [];
    const client = await serve({ chatWithContext: oneEach(HELLO, code, asked) });
    const stream = client.chat(NAMED, AT_ONCE);
    const seen: number[] = [];
    for await (const event of stream) {
      seen.push(event.sequence);
    }
    assert.deepEqual(seen, [1, 2, 3, 4]);
    assert.deepEqual(asked, [0, 1, 2, 3]);
    const answer = await stream.answer();
    assert.equal(textOf(answer), "Hello");
    assert.equal(answer.usage?.totalTokens, 7);
  });
}

test("what is not resumed", async (t) => {
  const away = new ConnectError("away", Code.Unavailable);
  const upstream = withReason(Code.Unavailable, "ERROR_REASON_UPSTREAM_UNAVAILABLE");
  const store = withReason(Code.Unavailable, "ERROR_REASON_STORE_UNAVAILABLE");
  const cases: [string, ConnectError, object, object, number][] = [
    ["a call without a name", away, { ...NAMED, idempotencyKey: "" }, AT_ONCE, 1],
    ["a call that wants it so", away, NAMED, { resume: false }, 1],
    ["a sixth time", away, NAMED, AT_ONCE, 6],
    ["another status", new ConnectError("no", Code.NotFound), NAMED, AT_ONCE, 1],
    ["another reason", upstream, NAMED, AT_ONCE, 1],
    ["a pause past the deadline", store, NAMED, { timeoutMs: 60_000 }, 1],
  ];
  for (const [name, error, request, options, times] of cases) {
    await t.test(name, async () => {
      const asked: number[] = [];
      const client = await serve({ chatWithContext: failing(error, asked) });
      await failureOf(client.chat(request, options).answer());
      assert.equal(asked.length, times);
    });
  }
  await t.test("what is not resumable", async () => {
    const asked: number[] = [];
    const events = numbered(started(false), completed);
    const client = await serve({ chatWithContext: oneEach(events, Code.Unavailable, asked) });
    await failureOf(client.chat(NAMED, AT_ONCE).answer());
    assert.deepEqual(asked, [0]);
  });
});

test("a break after the last event has lost nothing", async () => {
  const client = await serve({
    chatWithContext: async function* () {
      await Promise.resolve();
      yield* HELLO;
      throw new ConnectError("cut off", Code.Unavailable);
    },
  });
  assert.equal(textOf(await client.chat(NAMED, { resume: false }).answer()), "Hello");
});

test("a unary call with a name is sent again, and a read", async () => {
  let calls = 0;
  const twice = () => {
    calls += 1;
    if (calls < 3) {
      throw new ConnectError("away", Code.Unavailable);
    }
  };
  const client = await serve({
    completeChatWithContext: () => {
      twice();
      return { id: "a-1" };
    },
    getContext: () => {
      twice();
      return { context: { id: "ctx-1" } };
    },
    deleteContext: () => {
      twice();
      return {};
    },
  });
  assert.equal((await client.completeChat(NAMED, AT_ONCE)).id, "a-1");
  calls = 0;
  assert.equal((await client.getContext("ctx-1")).id, "ctx-1");
  calls = 0;
  await failureOf(client.deleteContext("ctx-1"));
  assert.equal(calls, 1);
});

test("a stream without its last event is data loss", async () => {
  const client = await serve({ chatWithContext: failing(undefined) });
  assert.equal((await failureOf(client.chat(NAMED).answer())).codeName, "DATA_LOSS");
});

test("a stream begun in the middle has no whole answer", async () => {
  const client = await serve({ chatWithContext: failing(undefined) });
  const stream = client.chat({ ...NAMED, resumeAfter: 2 });
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  await assert.rejects(stream.answer(), RangeError);
});

test("who leaves a stream ends the call", async (t) => {
  let left: (() => void) | undefined;
  const client = await serve({
    chatWithContext: async function* (_: ChatWithContextRequest, context: HandlerContext) {
      yield HELLO[0] ?? {};
      await new Promise((resolve) => {
        context.signal.addEventListener("abort", resolve);
      });
      left?.();
    },
  });
  const ended = () =>
    new Promise<void>((resolve) => {
      left = resolve;
    });
  await t.test("by a break", async () => {
    const end = ended();
    const stream = client.chat(NAMED, AT_ONCE);
    for await (const _ of stream) {
      break;
    }
    await end;
    assert.equal((await failureOf(stream.answer())).codeName, "CANCELLED");
  });
  await t.test("by its signal", async () => {
    const end = ended();
    const controller = new AbortController();
    const stream = client.chat(NAMED, { ...AT_ONCE, signal: controller.signal });
    await stream.next();
    const reading = failureOf(stream.answer());
    controller.abort(new Error("enough"));
    assert.equal((await reading).codeName, "CANCELLED");
    await end;
  });
  await t.test("by its deadline", async () => {
    const end = ended();
    const failure = await failureOf(client.chat(NAMED, { ...AT_ONCE, timeoutMs: 200 }).answer());
    assert.equal(failure.codeName, "DEADLINE_EXCEEDED");
    await end;
  });
});

test("a stream can be left while it waits", async () => {
  const client = await serve({ chatWithContext: oneEach(HELLO, Code.Unavailable, []) });
  const stream = client.chat(NAMED, { resume: { initialBackoffMs: 3e8, maxBackoffMs: 3e8 } });
  await stream.next();
  const waiting = failureOf(stream.next());
  setImmediate(() => {
    stream.cancel();
  });
  assert.equal((await waiting).codeName, "CANCELLED");
});

test("an error has its details", async () => {
  const error = withReason(Code.InvalidArgument, "ERROR_REASON_REQUEST_INVALID");
  const client = await serve({
    getContext: () => {
      throw error;
    },
  });
  const failure = await failureOf(client.getContext("ctx-1"));
  assert.equal(failure.codeName, "INVALID_ARGUMENT");
  assert.equal(failure.reason, "ERROR_REASON_REQUEST_INVALID");
  assert.equal(failure.rawMessage, "It said no.");
  assert.equal(failure.requestId, "q-1");
  assert.equal(failure.upstreamMessage, "No.");
  assert.equal(failure.retryDelayMs, 3_600_500);
  assert.deepEqual(failure.violations, [{ field: "model", description: "It is empty." }]);
  assert.match(failure.message, /ERROR_REASON_REQUEST_INVALID: .*model: It is empty.*q-1/);
});

test("a server that is not there is unavailable", async () => {
  const client = new Client("127.0.0.1:1");
  const failure = await failureOf(client.completeChat({ contextId: "c" }));
  assert.equal(failure.codeName, "UNAVAILABLE");
});

test("every call carries the token", async () => {
  let sent = new Headers();
  const client = await serve(
    {
      getContext: (_, context) => {
        sent = context.requestHeader;
        return { context: {} };
      },
    },
    { token: () => Promise.resolve("t"), upstreamApiKey: "k" },
  );
  await client.getContext("ctx-1");
  assert.equal(sent.get("authorization"), "Bearer t");
  assert.equal(sent.get("x-upstream-api-key"), "k");
  assert.equal(sent.get("user-agent"), `contextbridge-typescript/${VERSION}`);
});

test("calls pass over addresses of a name that are away", async () => {
  const local = await serve({ getContext: () => ({ context: { id: "ctx-1" } }) });
  // The name may stand for ::1 too, where nobody listens.
  const client = new Client(`dns:///localhost:${portOf(local)}`);
  cleanups.push(() => {
    client.close();
  });
  for (let call = 0; call < 4; call += 1) {
    assert.equal((await client.getContext("ctx-1", { timeoutMs: 60_000 })).id, "ctx-1");
  }
});

test("a target is a host and a port, or a name with several addresses", () => {
  assert.deepEqual(targetOf("[::1]:5", true), {
    url: "https://[::1]:5",
    host: "::1",
    port: 5,
    spread: false,
  });
  assert.equal(targetOf("dns:///bridge:5", false).spread, true);
  assert.equal(targetOf("bridge:5", false).spread, false);
});

test("a token does not leave this machine in the clear", () => {
  const token = { token: "t" };
  for (const target of ["127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1"]) {
    new Client(target, token).close();
  }
  for (const target of ["bridge.internal:1", "dns:///bridge:1", "10.0.0.1:1", "localhost.com:1"]) {
    assert.throws(() => new Client(target, token), /in the clear/);
    new Client(target, { ...token, tls: true }).close();
    new Client(target, { ...token, insecureToken: true }).close();
  }
  assert.throws(() => new Client("no port"), TypeError);
});
