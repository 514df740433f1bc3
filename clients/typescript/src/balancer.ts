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

// A name is looked up again after a connection failed, and no more often than this.
const LOOKUP_INTERVAL_MS = 1_000;

interface Address {
  readonly address: string;
  readonly family: number;
}

interface Backend {
  readonly session: Http2SessionManager;
  readonly transport: Transport;
}

/** What a transport's method takes beside the RPC's descriptor. */
type CallOf<Input> = [
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: Parameters<Transport["unary"]>[3],
  input: Input,
  contextValues?: ContextValues,
];

/** A transport over all addresses of a target: calls take them in turn, past those that are away. */
export class Balancer implements Transport {
  readonly #target: Target;
  readonly #options: ClientOptions;
  readonly #session: SecureClientSessionOptions;
  readonly #backends = new Map<string, Backend>();
  #order: Backend[] = [];
  #turn = 0;
  #stale = true;
  #lookedUp = -Infinity;

  /** Connects when the first call is made. Throws where a certificate cannot be read. */
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

  /** Ends the calls that are open and closes the connections. */
  close(): void {
    for (const { session } of this.#backends.values()) {
      session.abort();
    }
    this.#backends.clear();
    this.#order = [];
    this.#stale = true;
  }

  /** Returns the next backend that can be connected to; where none can, any: its error says why. */
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
    // Sessions of addresses that are gone end by themselves when their calls have.
    this.#order = addresses.map((address) => this.#backend(address.address, address));
  }

  #backend(key: string, address: Address | undefined): Backend {
    const known = this.#backends.get(key);
    if (known !== undefined) {
      return known;
    }
    // The name stays in the URL, and so in TLS and in `:authority`; only the lookup is ours.
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
