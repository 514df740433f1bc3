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
  type DeleteCachedResponsesRequest,
  ResponseCacheService,
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

/** Starts a server and returns a client for it. */
async function serve(
  service: Partial<ServiceImpl<typeof ContextService>>,
  options?: ClientOptions,
  responseCache: Partial<ServiceImpl<typeof ResponseCacheService>> = {},
): Promise<Client> {
  const routes = connectNodeAdapter({
    routes: (router) =>
      router.service(ContextService, service).service(ResponseCacheService, responseCache),
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

const KEYED = { contextId: "context-1", idempotencyKey: "k-1" };
const AT_ONCE = { resume: { initialBackoffMs: 0 } };

/** Sends one event per call, fails after each event but the last, and records `resumeAfter`. */
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
    const stream = client.chat(KEYED, AT_ONCE);
    const seen: number[] = [];
    for await (const event of stream) {
      seen.push(event.sequence);
    }
    assert.deepEqual(seen, [1, 2, 3, 4]);
    assert.equal(stream.sequence, 4);
    assert.deepEqual(asked, [0, 1, 2, 3]);
    const answer = await stream.answer();
    assert.equal(textOf(answer), "Hello");
    assert.equal(answer.usage?.totalTokens, 7);
  });
}

test("calls that are not resumed", async (t) => {
  const unavailable = new ConnectError("unavailable", Code.Unavailable);
  const busy = withReason(Code.Aborted, "ERROR_REASON_CONTEXT_BUSY");
  const upstream = withReason(Code.Unavailable, "ERROR_REASON_UPSTREAM_UNAVAILABLE");
  const store = withReason(Code.Unavailable, "ERROR_REASON_STORE_UNAVAILABLE");
  const cases: [string, ConnectError, object, object, number][] = [
    ["without an idempotency key", unavailable, { ...KEYED, idempotencyKey: "" }, AT_ONCE, 1],
    ["with resuming disabled", unavailable, KEYED, { resume: false }, 1],
    ["after five attempts", unavailable, KEYED, AT_ONCE, 6],
    ["another status", new ConnectError("no", Code.NotFound), KEYED, AT_ONCE, 1],
    ["an error of upstream", upstream, KEYED, AT_ONCE, 1],
    ["a busy context", busy, KEYED, AT_ONCE, 1],
    ["a retry delay past the deadline", store, KEYED, { timeoutMs: 60_000 }, 1],
  ];
  for (const [name, error, request, options, times] of cases) {
    await t.test(name, async () => {
      const asked: number[] = [];
      const client = await serve({ chatWithContext: failing(error, asked) });
      await failureOf(client.chat(request, options).answer());
      assert.equal(asked.length, times);
    });
  }
  await t.test("not resumable", async () => {
    const asked: number[] = [];
    const events = numbered(started(false), completed);
    const client = await serve({ chatWithContext: oneEach(events, Code.Unavailable, asked) });
    await failureOf(client.chat(KEYED, AT_ONCE).answer());
    assert.deepEqual(asked, [0]);
  });
});

test("a chat on a context id is sent without a model", async () => {
  const requests: ChatWithContextRequest[] = [];
  const client = await serve({
    chatWithContext: async function* (request: ChatWithContextRequest) {
      requests.push(request);
      await Promise.resolve();
      yield* numbered(completed);
    },
  });
  const messages = [{ role: "user", content: "Hi" }];
  await client.chat({ contextId: "context-1", messages }).answer();
  assert.deepEqual(
    requests.map(({ contextId, model }) => [contextId, model]),
    [["context-1", ""]],
  );
});

test("the target of deleted responses is one of a choice", async () => {
  const targets: DeleteCachedResponsesRequest["target"][] = [];
  const client = await serve(
    {},
    {},
    {
      deleteCachedResponses: ({ target }) => {
        targets.push(target);
        return { deletedCount: 2n };
      },
    },
  );
  const target = { case: "customerIdentifier", value: "c-1" } as const;
  assert.equal(await client.deleteCachedResponses({ target }), 2n);
  assert.deepEqual(targets, [target]);
});

test("a break after the last event is no error", async () => {
  const client = await serve({
    chatWithContext: async function* () {
      await Promise.resolve();
      yield* HELLO;
      throw new ConnectError("cut off", Code.Unavailable);
    },
  });
  assert.equal(textOf(await client.chat(KEYED, { resume: false }).answer()), "Hello");
});

test("a unary call with an idempotency key is sent again, and a read", async () => {
  let calls = 0;
  const failTwice = () => {
    calls += 1;
    if (calls < 3) {
      throw new ConnectError("unavailable", Code.Unavailable);
    }
  };
  const client = await serve({
    completeChatWithContext: () => {
      failTwice();
      return { id: "a-1" };
    },
    getContext: () => {
      failTwice();
      return { context: { id: "ctx-1" } };
    },
    deleteContext: () => {
      failTwice();
      return {};
    },
  });
  assert.equal((await client.completeChat(KEYED, AT_ONCE)).id, "a-1");
  calls = 0;
  assert.equal((await client.getContext("ctx-1")).id, "ctx-1");
  calls = 0;
  await failureOf(client.deleteContext("ctx-1"));
  assert.equal(calls, 1);
});

test("a stream without its last event is data loss", async () => {
  const client = await serve({ chatWithContext: failing(undefined) });
  assert.equal((await failureOf(client.chat(KEYED).answer())).codeName, "DATA_LOSS");
});

test("a stream with resumeAfter has no whole answer", async () => {
  const client = await serve({ chatWithContext: failing(undefined) });
  const stream = client.chat({ ...KEYED, resumeAfter: 2 });
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  await assert.rejects(stream.answer(), RangeError);
});

test("leaving a stream cancels the call", async (t) => {
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
    const stream = client.chat(KEYED, AT_ONCE);
    for await (const _ of stream) {
      break;
    }
    await end;
    assert.equal((await failureOf(stream.answer())).codeName, "CANCELLED");
  });
  await t.test("by its signal", async () => {
    const end = ended();
    const controller = new AbortController();
    const stream = client.chat(KEYED, { ...AT_ONCE, signal: controller.signal });
    await stream.next();
    const reading = failureOf(stream.answer());
    controller.abort(new Error("enough"));
    assert.equal((await reading).codeName, "CANCELLED");
    await end;
  });
  await t.test("by its deadline", async () => {
    const end = ended();
    const failure = await failureOf(client.chat(KEYED, { ...AT_ONCE, timeoutMs: 200 }).answer());
    assert.equal(failure.codeName, "DEADLINE_EXCEEDED");
    await end;
  });
});

test("a stream can be cancelled during its backoff", async () => {
  const client = await serve({ chatWithContext: oneEach(HELLO, Code.Unavailable, []) });
  const stream = client.chat(KEYED, { resume: { initialBackoffMs: 3e8, maxBackoffMs: 3e8 } });
  await stream.next();
  const waiting = failureOf(stream.next());
  setImmediate(() => {
    stream.cancel();
  });
  assert.equal((await waiting).codeName, "CANCELLED");
});

test("a busy context is ABORTED", async () => {
  const error = withReason(Code.Aborted, "ERROR_REASON_CONTEXT_BUSY");
  const client = await serve({ chatWithContext: failing(error) });
  const failure = await failureOf(client.chat(KEYED).answer());
  assert.equal(failure.codeName, "ABORTED");
  assert.equal(failure.reason, "ERROR_REASON_CONTEXT_BUSY");
  assert.equal(failure.retryDelayMs, 3_600_500);
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

test("an unreachable server is UNAVAILABLE", async () => {
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

test("calls skip unreachable addresses of a name", async () => {
  const local = await serve({ getContext: () => ({ context: { id: "ctx-1" } }) });
  // The name may also resolve to ::1, on which no server listens.
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

test("a token is not sent unencrypted to another machine", () => {
  const token = { token: "t" };
  for (const target of ["127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1"]) {
    new Client(target, token).close();
  }
  for (const target of ["bridge.internal:1", "dns:///bridge:1", "10.0.0.1:1", "localhost.com:1"]) {
    assert.throws(() => new Client(target, token), /unencrypted/);
    new Client(target, { ...token, tls: true }).close();
    new Client(target, { ...token, insecureToken: true }).close();
  }
  assert.throws(() => new Client("no port"), TypeError);
});
