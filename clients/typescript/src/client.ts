import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client as Stub, createClient, type Transport } from "@connectrpc/connect";

import { Balancer } from "./balancer.js";
import { type CallOptions, Limits, unary } from "./calls.js";
import { checkSecrets, type ClientOptions, DEFAULT_TARGET, targetOf } from "./connection.js";
import { ChatFold, ContentFold } from "./fold.js";
import { Attempts } from "./resume.js";
import { AnswerStream, type ChatStream, type ContentStream, type StreamCall } from "./stream.js";
import { uploadMessages, type UploadOptions, type UploadSource } from "./upload.js";
import {
  type CachedContent,
  CachedContentService,
  type ChatWithContextRequestSchema,
  type CompleteChatWithContextResponse,
  type Context,
  ContextService,
  type CountTokensRequestSchema,
  type CountTokensResponse,
  type CreateCachedContentRequestSchema,
  type CreateContextRequestSchema,
  type CreateContextResponse,
  type DeleteCachedResponsesRequestSchema,
  type File,
  FileService,
  GeminiService,
  type GenerateContentRequestSchema,
  type GenerateContentResponse,
  type ListCachedContentsRequestSchema,
  type ListContextsRequestSchema,
  type ListFilesRequestSchema,
  ResponseCacheService,
  type ResponseCacheStatistics,
  type UpdateCachedContentRequestSchema,
  type UpdateContextRequestSchema,
} from "./v1.js";

/** The generated stubs, on the connections of a client. */
export interface Stubs {
  readonly contexts: Stub<typeof ContextService>;
  readonly gemini: Stub<typeof GeminiService>;
  readonly cachedContents: Stub<typeof CachedContentService>;
  readonly files: Stub<typeof FileService>;
  readonly responseCache: Stub<typeof ResponseCacheService>;
}

/**
 * A client of a contextbridge server. Create one and keep it for the life of the process.
 *
 * Requests are plain objects with the messages' fields. Every method throws ContextBridgeError if
 * the call fails. The client retries reads on UNAVAILABLE. It repeats a call that may cost money
 * only with an `idempotencyKey`, with which upstream charges once; a stream then resumes after its
 * newest event.
 */
export class Client implements Disposable {
  /** The generated stubs. ContextBridgeError.from converts their errors. */
  readonly stubs: Stubs;

  /** The transport of the stubs. Its calls carry the client's token. */
  readonly transport: Transport;

  readonly #balancer: Balancer;
  readonly #options: ClientOptions;

  /**
   * Creates a client, which connects on its first call. Throws an Error for a token or key that
   * would leave this machine unencrypted, a TypeError for a malformed target, and the error of
   * reading a certificate's file.
   *
   * @param target - `host:port`, or `dns:///host:port` for a name with several addresses.
   * @param options - Token, TLS, deadline, and so on.
   */
  constructor(target: string = DEFAULT_TARGET, options: ClientOptions = {}) {
    const where = targetOf(target, Boolean(options.tls));
    checkSecrets(where.host, options);
    this.#options = options;
    this.#balancer = new Balancer(where, options);
    this.transport = this.#balancer;
    this.stubs = {
      contexts: createClient(ContextService, this.transport),
      gemini: createClient(GeminiService, this.transport),
      cachedContents: createClient(CachedContentService, this.transport),
      files: createClient(FileService, this.transport),
      responseCache: createClient(ResponseCacheService, this.transport),
    };
  }

  /** Cancels the calls in flight and closes the connections. */
  close(): void {
    this.#balancer.close();
  }

  /** Closes the client at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Creates a context, which upstream charges for until its binding lapses. Without
   * `idempotencyKey` a repeated call creates, and pays for, a second one.
   */
  createContext(
    request: MessageInitShape<typeof CreateContextRequestSchema>,
    options?: CallOptions,
  ): Promise<CreateContextResponse> {
    return this.#keyed(this.stubs.contexts.createContext, request, options);
  }

  /** Returns a context as it is now. */
  async getContext(id: string, options?: CallOptions): Promise<Context> {
    const response = await this.#read(this.stubs.contexts.getContext, { id }, options);
    return present(response.context);
  }

  /** Iterates over the caller's contexts, newest first, page by page. */
  async *listContexts(
    request: MessageInitShape<typeof ListContextsRequestSchema> = {},
    options?: CallOptions,
  ): AsyncGenerator<Context, void, undefined> {
    const method = this.stubs.contexts.listContexts;
    for await (const page of this.#pages(method, request, options)) {
      yield* page.contexts;
    }
  }

  /** Changes a context's lifetime or display name, and returns the context. */
  async updateContext(
    request: MessageInitShape<typeof UpdateContextRequestSchema>,
    options?: CallOptions,
  ): Promise<Context> {
    const response = await this.#once(this.stubs.contexts.updateContext, request, options);
    return present(response.context);
  }

  /** Deletes a context and everything that the server stored for it. */
  async deleteContext(id: string, options?: CallOptions): Promise<void> {
    await this.#once(this.stubs.contexts.deleteContext, { id }, options);
  }

  /**
   * Continues from a context and streams the answer. The call starts with the first read.
   *
   * A request on a context's own id needs no `model`, because the server knows it. A request on an
   * upstream id does.
   */
  chat(
    request: MessageInitShape<typeof ChatWithContextRequestSchema>,
    options?: CallOptions,
  ): ChatStream {
    const method = this.stubs.contexts.chatWithContext;
    return new AnswerStream(
      this.#streaming(
        request,
        (resumeAfter, rpc) => method({ ...request, resumeAfter }, rpc),
        options,
      ),
      new ChatFold(),
    );
  }

  /** Continues from a context and returns the whole answer. Takes the same request as `chat`. */
  completeChat(
    request: MessageInitShape<typeof ChatWithContextRequestSchema>,
    options?: CallOptions,
  ): Promise<CompleteChatWithContextResponse> {
    return this.#keyed(this.stubs.contexts.completeChatWithContext, request, options);
  }

  /** Returns a whole answer. The answer to a blocked prompt has no candidates. */
  generateContent(
    request: MessageInitShape<typeof GenerateContentRequestSchema>,
    options?: CallOptions,
  ): Promise<GenerateContentResponse> {
    return this.#keyed(this.stubs.gemini.generateContent, request, options);
  }

  /**
   * Streams an answer. Takes the same request as `generateContent`. The call starts with the first
   * read.
   */
  streamGenerateContent(
    request: MessageInitShape<typeof GenerateContentRequestSchema>,
    options?: CallOptions,
  ): ContentStream {
    const method = this.stubs.gemini.streamGenerateContent;
    return new AnswerStream(
      this.#streaming(
        request,
        (resumeAfter, rpc) => method({ ...request, resumeAfter }, rpc),
        options,
      ),
      new ContentFold(),
    );
  }

  /** Counts the tokens of a prompt without generating an answer. This is free. */
  countTokens(
    request: MessageInitShape<typeof CountTokensRequestSchema>,
    options?: CallOptions,
  ): Promise<CountTokensResponse> {
    return this.#read(this.stubs.gemini.countTokens, request, options);
  }

  /** Creates a cached content, which upstream charges for until it expires. */
  async createCachedContent(
    request: MessageInitShape<typeof CreateCachedContentRequestSchema>,
    options?: CallOptions,
  ): Promise<CachedContent> {
    const method = this.stubs.cachedContents.createCachedContent;
    return present((await this.#once(method, request, options)).cachedContent);
  }

  /** Returns a cached content's metadata. Upstream does not return the content. */
  async getCachedContent(name: string, options?: CallOptions): Promise<CachedContent> {
    const method = this.stubs.cachedContents.getCachedContent;
    return present((await this.#read(method, { name }, options)).cachedContent);
  }

  /** Iterates over the cached contents' metadata, page by page. */
  async *listCachedContents(
    request: MessageInitShape<typeof ListCachedContentsRequestSchema> = {},
    options?: CallOptions,
  ): AsyncGenerator<CachedContent, void, undefined> {
    const method = this.stubs.cachedContents.listCachedContents;
    for await (const page of this.#pages(method, request, options)) {
      yield* page.cachedContents;
    }
  }

  /** Changes a cached content's expiry, and returns its metadata. */
  async updateCachedContent(
    request: MessageInitShape<typeof UpdateCachedContentRequestSchema>,
    options?: CallOptions,
  ): Promise<CachedContent> {
    const method = this.stubs.cachedContents.updateCachedContent;
    return present((await this.#once(method, request, options)).cachedContent);
  }

  /** Deletes a cached content. */
  async deleteCachedContent(name: string, options?: CallOptions): Promise<void> {
    await this.#once(this.stubs.cachedContents.deleteCachedContent, { name }, options);
  }

  /**
   * Uploads a file in pieces and returns its metadata. A video may be PROCESSING at first. Throws a
   * RangeError if the size is unknown, and the error of reading the source.
   */
  async uploadFile(
    source: UploadSource,
    upload: UploadOptions,
    options?: CallOptions,
  ): Promise<File> {
    const { uploadFile } = this.stubs.files;
    const send = (_: object, rpc: object) => uploadFile(uploadMessages(source, upload), rpc);
    return present((await this.#once(send, {}, options)).file);
  }

  /** Returns a file's metadata. */
  async getFile(name: string, options?: CallOptions): Promise<File> {
    return present((await this.#read(this.stubs.files.getFile, { name }, options)).file);
  }

  /** Iterates over the files' metadata, page by page. */
  async *listFiles(
    request: MessageInitShape<typeof ListFilesRequestSchema> = {},
    options?: CallOptions,
  ): AsyncGenerator<File, void, undefined> {
    for await (const page of this.#pages(this.stubs.files.listFiles, request, options)) {
      yield* page.files;
    }
  }

  /** Deletes a file. */
  async deleteFile(name: string, options?: CallOptions): Promise<void> {
    await this.#once(this.stubs.files.deleteFile, { name }, options);
  }

  /**
   * Deletes cached answers of the caller's tenant, and returns their number. The request's `target`
   * selects them: by key, customer or context, or all.
   */
  async deleteCachedResponses(
    request: MessageInitShape<typeof DeleteCachedResponsesRequestSchema>,
    options?: CallOptions,
  ): Promise<bigint> {
    const method = this.stubs.responseCache.deleteCachedResponses;
    return (await this.#once(method, request, options)).deletedCount;
  }

  /** Returns the size and the use of the response cache of the caller's tenant. */
  async getResponseCacheStatistics(options?: CallOptions): Promise<ResponseCacheStatistics> {
    const method = this.stubs.responseCache.getResponseCacheStatistics;
    return present((await this.#read(method, {}, options)).statistics);
  }

  #limits(options: CallOptions = {}): Limits {
    return new Limits(options.signal, options.timeoutMs ?? this.#options.timeoutMs);
  }

  #resuming(idempotencyKey: string | undefined, options: CallOptions = {}): Attempts {
    return Attempts.resuming(options.resume ?? this.#options.resume ?? true, idempotencyKey);
  }

  #keyed<Request extends { idempotencyKey?: string }, Response>(
    method: (request: Request, options: object) => Promise<Response>,
    request: Request,
    options: CallOptions | undefined,
  ): Promise<Response> {
    const attempts = this.#resuming(request.idempotencyKey, options);
    return unary(method, request, this.#limits(options), attempts);
  }

  #read<Request, Response>(
    method: (request: Request, options: object) => Promise<Response>,
    request: Request,
    options: CallOptions | undefined,
  ): Promise<Response> {
    return unary(method, request, this.#limits(options), Attempts.reading());
  }

  #once<Request, Response>(
    method: (request: Request, options: object) => Promise<Response>,
    request: Request,
    options: CallOptions | undefined,
  ): Promise<Response> {
    return unary(method, request, this.#limits(options), Attempts.once());
  }

  async *#pages<
    Request extends { pageToken?: string },
    Response extends { readonly nextPageToken: string },
  >(
    method: (request: Request, options: object) => Promise<Response>,
    request: Request,
    options: CallOptions | undefined,
  ): AsyncGenerator<Response, void, undefined> {
    let next = request;
    for (;;) {
      const page = await this.#read(method, next, options);
      yield page;
      if (!page.nextPageToken) {
        return;
      }
      next = { ...request, pageToken: page.nextPageToken };
    }
  }

  #streaming<Event>(
    request: { idempotencyKey?: string; resumeAfter?: number },
    open: StreamCall<Event>["open"],
    options: CallOptions = {},
  ): StreamCall<Event> {
    return {
      open,
      resumeAfter: request.resumeAfter ?? 0,
      attempts: this.#resuming(request.idempotencyKey, options),
      signal: options.signal,
      timeoutMs: options.timeoutMs ?? this.#options.timeoutMs,
    };
  }
}

/** Returns a member that every successful response has. */
function present<Member>(member: Member | undefined): Member {
  if (member === undefined) {
    throw new TypeError("the response is empty: the server is not a contextbridge server");
  }
  return member;
}
