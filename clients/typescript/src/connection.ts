import { readFileSync } from "node:fs";
import type { SecureClientSessionOptions } from "node:http2";
import { isIP } from "node:net";

import type { Interceptor } from "@connectrpc/connect";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";

import type { Resume } from "./resume.js";
import { VERSION } from "./version.js";

/** A secret, or a function that returns it for each call, so that secrets can rotate. */
export type Secret = string | (() => string | Promise<string>);

/** The certificates of a connection, each in PEM, as a file or as its content, not both. */
export interface Tls {
  /** Certificates of the trusted authorities, instead of Node's own. */
  readonly caFile?: string;
  readonly ca?: string | Uint8Array;
  /** The client's certificate chain, for mutual TLS. */
  readonly certFile?: string;
  readonly cert?: string | Uint8Array;
  /** The private key of the client's certificate. */
  readonly keyFile?: string;
  readonly key?: string | Uint8Array;
  /** The expected name of the server's certificate. Absent means the target's host. */
  readonly serverName?: string;
}

/** Options of a client: its connection and the defaults of its calls. */
export interface ClientOptions {
  /** The caller's token, sent in the header `authorization: Bearer …`. */
  readonly token?: Secret;
  /** The caller's own API key for upstream, for servers that forward it. */
  readonly upstreamApiKey?: Secret;
  /** True for TLS with Node's own roots, or a Tls. Absent or false means no encryption. */
  readonly tls?: Tls | boolean;
  /**
   * Allows sending token and key unencrypted to another machine. Use it where another layer
   * encrypts the connection, such as a service mesh.
   */
  readonly insecureToken?: boolean;
  /**
   * The interval of keepalive pings during a call, in milliseconds. The default is 330,000. A server
   * closes the connection of a client that pings more often than the server allows, by default every
   * 5 minutes.
   */
  readonly keepaliveMs?: number;
  /** The deadline in milliseconds of each call without its own. It covers a whole stream. */
  readonly timeoutMs?: number;
  /** How broken calls with an idempotency key are resumed. The default is true. */
  readonly resume?: Resume;
  /** Options of Connect's gRPC transport. They override the client's own. */
  readonly transport?: Partial<GrpcTransportOptions>;
}

export const DEFAULT_TARGET = "127.0.0.1:50051";

// A server accepts one ping in five minutes without data and closes the connection of a client that
// sends more; the rest allows for the network's jitter.
const KEEPALIVE_MS = 330_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

// A whole answer can contain images.
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

// A status lists every field violation.
const MAX_METADATA_BYTES = 64 * 1024;

/** The parsed address of a server. */
export interface Target {
  /** `http://` or `https://`, host and port. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Whether calls are distributed over all addresses of the host. */
  readonly spread: boolean;
}

/** Parses `host:port` or `dns:///host:port`. Throws a TypeError for anything else. */
export function targetOf(target: string, secure: boolean): Target {
  const spread = target.startsWith("dns:");
  const address = spread ? target.slice(target.lastIndexOf("/") + 1).replace(/^dns:/, "") : target;
  const found = /^(?:\[(?<v6>[^\]]+)\]|(?<name>[^:/\s]+)):(?<port>\d+)$/.exec(address)?.groups;
  const host = found?.["v6"] ?? found?.["name"];
  if (host === undefined) {
    throw new TypeError(`a target is host:port or dns:///host:port, not ${target}`);
  }
  const url = `${secure ? "https" : "http"}://${address}`;
  return { url, host, port: Number(found?.["port"]), spread: spread && isIP(host) === 0 };
}

/** Throws an Error for a token or key that would leave this machine unencrypted. */
export function checkSecrets(host: string, options: ClientOptions): void {
  const secret = options.token !== undefined || options.upstreamApiKey !== undefined;
  if (secret && !options.tls && !options.insecureToken && !isLoopback(host)) {
    throw new Error(
      `a token or key would go to ${host} unencrypted: pass tls, or insecureToken where ` +
        "another layer encrypts the connection",
    );
  }
}

/** Returns the transport's options that are the same for all addresses. */
export function transportOptions(
  options: ClientOptions,
): Omit<GrpcTransportOptions, "baseUrl" | "nodeOptions" | "sessionManager"> {
  return {
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    acceptCompression: [],
    ...options.transport,
    interceptors: [...(options.transport?.interceptors ?? []), withHeaders(options)],
  };
}

/** Returns the keepalive options of a session. */
export function pingOptions({ keepaliveMs = KEEPALIVE_MS }: ClientOptions): {
  pingIntervalMs: number;
  pingTimeoutMs: number;
} {
  return { pingIntervalMs: keepaliveMs, pingTimeoutMs: KEEPALIVE_TIMEOUT_MS };
}

/** Returns the options of a session of Node's http2. Reads the certificates' files. */
export function sessionOptions({ tls }: ClientOptions): SecureClientSessionOptions {
  const settings = { settings: { maxHeaderListSize: MAX_METADATA_BYTES } };
  if (typeof tls !== "object") {
    return settings;
  }
  const certificates = {
    ca: pem(tls.caFile, tls.ca),
    cert: pem(tls.certFile, tls.cert),
    key: pem(tls.keyFile, tls.key),
    servername: tls.serverName,
  };
  const given = Object.entries(certificates).filter(([, value]) => value !== undefined);
  return { ...settings, ...(Object.fromEntries(given) as SecureClientSessionOptions) };
}

function pem(file: string | undefined, content: string | Uint8Array | undefined) {
  if (file !== undefined && content !== undefined) {
    throw new TypeError("a certificate or key is given as a file or as its content, not both");
  }
  return file === undefined ? content && Buffer.from(content) : readFileSync(file);
}

/** Returns an interceptor that adds the headers of every call. */
function withHeaders({ token, upstreamApiKey }: ClientOptions): Interceptor {
  return (next) => async (request) => {
    request.header.set("user-agent", `contextbridge-typescript/${VERSION}`);
    if (token !== undefined) {
      request.header.set("authorization", `Bearer ${await valueOf(token)}`);
    }
    if (upstreamApiKey !== undefined) {
      request.header.set("x-upstream-api-key", await valueOf(upstreamApiKey));
    }
    return next(request);
  };
}

async function valueOf(secret: Secret): Promise<string> {
  return typeof secret === "string" ? secret : await secret();
}

function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    host === "::1" ||
    (isIP(host) === 4 && host.startsWith("127."))
  );
}
