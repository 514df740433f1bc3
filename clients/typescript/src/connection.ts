import { readFileSync } from "node:fs";
import type { SecureClientSessionOptions } from "node:http2";
import { isIP } from "node:net";

import type { Interceptor } from "@connectrpc/connect";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";

import type { Resume } from "./resume.js";
import { VERSION } from "./version.js";

/** A secret, or what returns it for each call: then it can be replaced while the client lives. */
export type Secret = string | (() => string | Promise<string>);

/** Whom a client trusts, and who it is. Everything is PEM, as a file or its content, not both. */
export interface Tls {
  /** Certificates of the authorities to trust, instead of node's own. */
  readonly caFile?: string;
  readonly ca?: string | Uint8Array;
  /** The client's certificate chain, for mutual TLS. */
  readonly certFile?: string;
  readonly cert?: string | Uint8Array;
  /** The private key of the client's certificate. */
  readonly keyFile?: string;
  readonly key?: string | Uint8Array;
  /** The name that the server's certificate is checked against, where it is not the target's. */
  readonly serverName?: string;
}

/** How a client connects, and how its calls are made. */
export interface ClientOptions {
  /** Who the caller is; goes as `authorization: Bearer …`. */
  readonly token?: Secret;
  /** The caller's own key of upstream, where the server passes it on. */
  readonly upstreamApiKey?: Secret;
  /** True for TLS with node's own roots, or a Tls. Absent or false is plain text. */
  readonly tls?: Tls | boolean;
  /** Send token and key in plain text to another machine, where something else encrypts the way. */
  readonly insecureToken?: boolean;
  /**
   * How often the connection is probed during a call, in milliseconds; 330,000 unless it is given.
   * Servers cut off clients that probe more often than they allow, by default every 5 minutes.
   */
  readonly keepaliveMs?: number;
  /** The deadline of each call that brings none, streams as a whole. */
  readonly timeoutMs?: number;
  /** How calls with an idempotency key that break are taken up again; true unless it is given. */
  readonly resume?: Resume;
  /** Options of connect's transport, which go before the client's own. */
  readonly transport?: Partial<GrpcTransportOptions>;
}

export const DEFAULT_TARGET = "127.0.0.1:50051";

// Servers take one ping in five minutes without data and cut off whoever sends more; the rest is
// room for the network's jitter.
const KEEPALIVE_MS = 330_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

// Whole answers hold images.
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

// A status lists every field violation.
const MAX_METADATA_BYTES = 64 * 1024;

/** Where a server is. */
export interface Target {
  /** `http://` or `https://`, host and port. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** The name stands for several addresses, which calls are spread over in turn. */
  readonly spread: boolean;
}

/** Reads `host:port` or `dns:///host:port`. Throws a TypeError for anything else. */
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

/** Throws an Error for a token or key that would leave this machine in plain text. */
export function checkSecrets(host: string, options: ClientOptions): void {
  const secret = options.token !== undefined || options.upstreamApiKey !== undefined;
  if (secret && !options.tls && !options.insecureToken && !isLoopback(host)) {
    throw new Error(
      `a token or key would go to ${host} in the clear: pass tls, or insecureToken where ` +
        "something else encrypts the way",
    );
  }
}

/** What the transport of one address is made with, but for the address. */
export function transportOptions(
  options: ClientOptions,
): Omit<GrpcTransportOptions, "baseUrl" | "nodeOptions" | "sessionManager"> {
  return {
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    acceptCompression: [],
    ...options.transport,
    interceptors: [...(options.transport?.interceptors ?? []), carrying(options)],
  };
}

/** How a session probes its connection. */
export function pingOptions({ keepaliveMs = KEEPALIVE_MS }: ClientOptions): {
  pingIntervalMs: number;
  pingTimeoutMs: number;
} {
  return { pingIntervalMs: keepaliveMs, pingTimeoutMs: KEEPALIVE_TIMEOUT_MS };
}

/** What node's http2 is told of a session. Reads the files of the certificates. */
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

/** What every call carries. */
function carrying({ token, upstreamApiKey }: ClientOptions): Interceptor {
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
