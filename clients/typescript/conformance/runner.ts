/** The conformance runner: see ../../conformance/README.md. */
import { readFileSync } from "node:fs";

import {
  create,
  createRegistry,
  type DescMessage,
  fromJson,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";

import {
  type AnswerStream,
  type CallOptions,
  Client,
  type ClientOptions,
  ContextBridgeError,
} from "../src/index.js";
import * as v1 from "../src/v1.js";

interface Case {
  readonly name: string;
  readonly connect: {
    readonly target: string;
    readonly token?: string;
    readonly insecure_token?: boolean;
    readonly ca_file?: string;
    readonly server_name?: string;
  };
  readonly call: string;
  readonly request: JsonValue;
  readonly upload?: string;
  readonly read?: "events" | "text" | "answer";
  readonly timeout?: number;
  readonly cancel_after?: number;
  readonly resume?: boolean;
}

interface Report {
  name: string;
  events?: JsonValue[];
  texts?: string[];
  response?: JsonValue;
  error?: object;
  cancelled?: boolean;
}

type Call = (client: Client, one: Case, report: Report) => Promise<void>;

const registry = createRegistry(
  v1.file_contextbridge_v1_context_service,
  v1.file_contextbridge_v1_gemini_service,
);

function asJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { useProtoFieldName: true, registry });
}

function optionsOf(one: Case): CallOptions {
  return {
    ...(one.timeout !== undefined && { timeoutMs: one.timeout * 1000 }),
    ...(one.resume !== undefined && { resume: one.resume }),
  };
}

function connectionOf({ connect }: Case): ClientOptions {
  const serverName = connect.server_name;
  return {
    ...(connect.token !== undefined && { token: connect.token }),
    ...(connect.insecure_token !== undefined && { insecureToken: connect.insecure_token }),
    ...(connect.ca_file !== undefined && {
      tls: { caFile: connect.ca_file, ...(serverName !== undefined && { serverName }) },
    }),
  };
}

function unary<Request extends DescMessage, Response extends DescMessage>(
  request: Request,
  response: Response,
  call: (
    client: Client,
    request: MessageShape<Request>,
    options: CallOptions,
  ) => Promise<MessageShape<Response>>,
): Call {
  return async (client, one, report) => {
    const answer = await call(client, fromJson(request, one.request), optionsOf(one));
    report.response = asJson(response, answer);
  };
}

function streaming<
  Request extends DescMessage,
  Event extends DescMessage,
  Answer extends DescMessage,
>(
  request: Request,
  event: Event,
  answer: Answer,
  call: (
    client: Client,
    request: MessageShape<Request>,
    options: CallOptions,
  ) => AnswerStream<MessageShape<Event>, MessageShape<Answer>>,
): Call {
  return async (client, one, report) => {
    const stream = call(client, fromJson(request, one.request), optionsOf(one));
    if (one.read === "answer") {
      report.response = asJson(answer, await stream.answer());
    } else if (one.read === "text") {
      const texts: string[] = (report.texts = []);
      for await (const piece of stream.text()) {
        texts.push(piece);
      }
    } else {
      const events: JsonValue[] = (report.events = []);
      for await (const one_of of stream) {
        events.push(asJson(event, one_of));
        if (events.length === one.cancel_after) {
          report.cancelled = true;
          break;
        }
      }
    }
  };
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

const CALLS: Readonly<Record<string, Call>> = {
  ChatWithContext: streaming(
    v1.ChatWithContextRequestSchema,
    v1.ChatWithContextResponseSchema,
    v1.CompleteChatWithContextResponseSchema,
    (client, request, options) => client.chat(request, options),
  ),
  StreamGenerateContent: streaming(
    v1.GenerateContentRequestSchema,
    v1.GenerateContentResponseSchema,
    v1.GenerateContentResponseSchema,
    (client, request, options) => client.streamGenerateContent(request, options),
  ),
  CreateContext: unary(
    v1.CreateContextRequestSchema,
    v1.CreateContextResponseSchema,
    (client, request, options) => client.createContext(request, options),
  ),
  GetContext: unary(
    v1.GetContextRequestSchema,
    v1.GetContextResponseSchema,
    async (client, { id }, options) =>
      create(v1.GetContextResponseSchema, { context: await client.getContext(id, options) }),
  ),
  ListContexts: unary(
    v1.ListContextsRequestSchema,
    v1.ListContextsResponseSchema,
    async (client, request, options) =>
      create(v1.ListContextsResponseSchema, {
        contexts: await all(client.listContexts(request, options)),
      }),
  ),
  UpdateContext: unary(
    v1.UpdateContextRequestSchema,
    v1.UpdateContextResponseSchema,
    async (client, request, options) =>
      create(v1.UpdateContextResponseSchema, {
        context: await client.updateContext(request, options),
      }),
  ),
  DeleteContext: unary(
    v1.DeleteContextRequestSchema,
    v1.DeleteContextResponseSchema,
    async (client, { id }, options) => {
      await client.deleteContext(id, options);
      return create(v1.DeleteContextResponseSchema);
    },
  ),
  CompleteChatWithContext: unary(
    v1.ChatWithContextRequestSchema,
    v1.CompleteChatWithContextResponseSchema,
    (client, request, options) => client.completeChat(request, options),
  ),
  GenerateContent: unary(
    v1.GenerateContentRequestSchema,
    v1.GenerateContentResponseSchema,
    (client, request, options) => client.generateContent(request, options),
  ),
  CountTokens: unary(
    v1.CountTokensRequestSchema,
    v1.CountTokensResponseSchema,
    (client, request, options) => client.countTokens(request, options),
  ),
  CreateCachedContent: unary(
    v1.CreateCachedContentRequestSchema,
    v1.CreateCachedContentResponseSchema,
    async (client, request, options) =>
      create(v1.CreateCachedContentResponseSchema, {
        cachedContent: await client.createCachedContent(request, options),
      }),
  ),
  GetCachedContent: unary(
    v1.GetCachedContentRequestSchema,
    v1.GetCachedContentResponseSchema,
    async (client, { name }, options) =>
      create(v1.GetCachedContentResponseSchema, {
        cachedContent: await client.getCachedContent(name, options),
      }),
  ),
  ListCachedContents: unary(
    v1.ListCachedContentsRequestSchema,
    v1.ListCachedContentsResponseSchema,
    async (client, request, options) =>
      create(v1.ListCachedContentsResponseSchema, {
        cachedContents: await all(client.listCachedContents(request, options)),
      }),
  ),
  UpdateCachedContent: unary(
    v1.UpdateCachedContentRequestSchema,
    v1.UpdateCachedContentResponseSchema,
    async (client, request, options) =>
      create(v1.UpdateCachedContentResponseSchema, {
        cachedContent: await client.updateCachedContent(request, options),
      }),
  ),
  DeleteCachedContent: unary(
    v1.DeleteCachedContentRequestSchema,
    v1.DeleteCachedContentResponseSchema,
    async (client, { name }, options) => {
      await client.deleteCachedContent(name, options);
      return create(v1.DeleteCachedContentResponseSchema);
    },
  ),
  UploadFile: async (client, one, report) => {
    const { mimeType, displayName } = fromJson(v1.UploadFileMetadataSchema, one.request);
    const bytes = Buffer.from(one.upload ?? "", "base64");
    const file = await client.uploadFile(bytes, { mimeType, displayName }, optionsOf(one));
    report.response = asJson(
      v1.UploadFileResponseSchema,
      create(v1.UploadFileResponseSchema, { file }),
    );
  },
  GetFile: unary(
    v1.GetFileRequestSchema,
    v1.GetFileResponseSchema,
    async (client, { name }, options) =>
      create(v1.GetFileResponseSchema, { file: await client.getFile(name, options) }),
  ),
  ListFiles: unary(
    v1.ListFilesRequestSchema,
    v1.ListFilesResponseSchema,
    async (client, request, options) =>
      create(v1.ListFilesResponseSchema, { files: await all(client.listFiles(request, options)) }),
  ),
  DeleteFile: unary(
    v1.DeleteFileRequestSchema,
    v1.DeleteFileResponseSchema,
    async (client, { name }, options) => {
      await client.deleteFile(name, options);
      return create(v1.DeleteFileResponseSchema);
    },
  ),
  DeleteCachedResponses: unary(
    v1.DeleteCachedResponsesRequestSchema,
    v1.DeleteCachedResponsesResponseSchema,
    async (client, request, options) =>
      create(v1.DeleteCachedResponsesResponseSchema, {
        deletedCount: await client.deleteCachedResponses(request, options),
      }),
  ),
  GetResponseCacheStatistics: unary(
    v1.GetResponseCacheStatisticsRequestSchema,
    v1.GetResponseCacheStatisticsResponseSchema,
    async (client, _, options) =>
      create(v1.GetResponseCacheStatisticsResponseSchema, {
        statistics: await client.getResponseCacheStatistics(options),
      }),
  ),
};

function failureOf(error: ContextBridgeError): object {
  return {
    code: error.codeName,
    reason: error.reason,
    message: error.rawMessage,
    metadata: error.metadata,
    violations: error.violations,
    retry_delay: error.retryDelayMs === undefined ? null : error.retryDelayMs / 1000,
    request_id: error.requestId,
    upstream_message: error.upstreamMessage,
  };
}

async function run(one: Case): Promise<Report> {
  const report: Report = { name: one.name };
  const call = CALLS[one.call];
  if (call === undefined) {
    throw new Error(`unknown call: ${one.call}`);
  }
  const client = new Client(one.connect.target, connectionOf(one));
  try {
    await call(client, one, report);
  } catch (error) {
    if (!(error instanceof ContextBridgeError)) {
      throw error;
    }
    report.error = failureOf(error);
  } finally {
    client.close();
  }
  return report;
}

const [, , file] = process.argv;
const plan = JSON.parse(readFileSync(file ?? "", "utf8")) as { cases: Case[] };
for (const one of plan.cases) {
  console.log(JSON.stringify(await run(one)));
}
