import { lookup as resolve } from "node:dns/promises";
import type { SecureClientSessionOptions } from "node:http2";
import type { LookupFunction } from "node:net";

import type {
  DescMessage,
  DescMethodStreaming,
  DescMethodUnary,
  MessageInitShape,
} from "@bufbuild/protobuf";
import type { ContextValues, StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import {
  type ClientOptions,
  pingOptions,
  sessionOptions,
  type Target,
  transportOptions,
} from "./connection.js";

// The shortest interval between two lookups of a name. A failed connection causes a lookup.
const LOOKUP_INTERVAL_MS = 1_000;

interface Address {
  readonly address: string;
  readonly family: number;
}

interface Backend {
  readonly session: Http2SessionManager;
  readonly transport: Transport;
}

/** The arguments of a transport's method after the RPC's descriptor. */
type CallOf<Input> = [
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: Parameters<Transport["unary"]>[3],
  input: Input,
  contextValues?: ContextValues,
];

/** A transport that distributes calls over all reachable addresses of a target, round robin. */
export class Balancer implements Transport {
  readonly #target: Target;
  readonly #options: ClientOptions;
  readonly #session: SecureClientSessionOptions;
  readonly #backends = new Map<string, Backend>();
  #order: Backend[] = [];
  #turn = 0;
  #stale = true;
  #lookedUp = -Infinity;

  /** Creates a transport, which connects on its first call. Throws if a certificate is unreadable. */
  constructor(target: Target, options: ClientOptions) {
    this.#target = target;
    this.#options = options;
    this.#session = sessionOptions(options);
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    ...call: CallOf<MessageInitShape<I>>
  ): Promise<UnaryResponse<I, O>> {
    return (await this.#next()).transport.unary(method, ...call);
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    ...call: CallOf<AsyncIterable<MessageInitShape<I>>>
  ): Promise<StreamResponse<I, O>> {
    return (await this.#next()).transport.stream(method, ...call);
  }

  /** Cancels the calls in flight and closes the connections. */
  close(): void {
    for (const { session } of this.#backends.values()) {
      session.abort();
    }
    this.#backends.clear();
    this.#order = [];
    this.#stale = true;
  }

  /**
   * Returns the next reachable backend. If none is reachable it returns an unreachable one, because
   * its error says why connecting fails.
   */
  async #next(): Promise<Backend> {
    await this.#refresh();
    const turn = this.#turn++;
    for (let tried = 0; tried < this.#order.length; tried += 1) {
      const backend = this.#at(turn + tried);
      if (this.#order.length === 1 || (await backend.session.connect()) !== "error") {
        return backend;
      }
      this.#stale = true;
    }
    return this.#at(turn);
  }

  #at(place: number): Backend {
    const backend = this.#order[place % this.#order.length];
    if (backend === undefined) {
      throw new Error(`${this.#target.host} has no addresses`);
    }
    return backend;
  }

  async #refresh(): Promise<void> {
    const due = performance.now() - this.#lookedUp > LOOKUP_INTERVAL_MS;
    if (this.#order.length > 0 && !(this.#stale && due && this.#target.spread)) {
      return;
    }
    this.#lookedUp = performance.now();
    this.#stale = false;
    if (!this.#target.spread) {
      this.#order = [this.#backend("", undefined)];
      return;
    }
    const addresses = await resolve(this.#target.host, { all: true });
    // Sessions of addresses that the name no longer has end after their last call.
    this.#order = addresses.map((address) => this.#backend(address.address, address));
  }

  #backend(key: string, address: Address | undefined): Backend {
    const known = this.#backends.get(key);
    if (known !== undefined) {
      return known;
    }
    // TLS and `:authority` need the name in the URL, so only the lookup is replaced.
    const fixed = address && { lookup: lookupOf(address) };
    const options = { ...this.#session, ...fixed };
    const session = new Http2SessionManager(this.#target.url, pingOptions(this.#options), options);
    const transport = createGrpcTransport({
      ...transportOptions(this.#options),
      baseUrl: this.#target.url,
      sessionManager: session,
    });
    const backend = { session, transport };
    this.#backends.set(key, backend);
    return backend;
  }
}

function lookupOf({ address, family }: Address): LookupFunction {
  return (_host, options, callback) => {
    if (options.all) {
      callback(null, [{ address, family }]);
    } else {
      callback(null, address, family);
    }
  };
}
