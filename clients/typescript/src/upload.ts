import type { MessageInitShape } from "@bufbuild/protobuf";

import type { UploadFileRequestSchema } from "./v1.js";

const PIECE_BYTES = 256 * 1024;

/** The metadata of an uploaded file. */
export interface UploadOptions {
  /** The IANA media type. */
  readonly mimeType: string;
  /** A name for people, at most 512 characters. */
  readonly displayName?: string;
  /** The resource name, `files/…`. Absent lets upstream choose. */
  readonly name?: string;
  /** The size in bytes. Required unless the source is a Uint8Array or a Blob. */
  readonly sizeBytes?: number;
}

/** Bytes, a Blob or File, or a stream of bytes such as that of `fs.createReadStream`. */
export type UploadSource = Uint8Array | Blob | AsyncIterable<Uint8Array>;

/** Returns the messages of an upload. Throws a RangeError if the size is unknown. */
export function uploadMessages(
  source: UploadSource,
  options: UploadOptions,
): AsyncIterable<MessageInitShape<typeof UploadFileRequestSchema>> {
  const size = options.sizeBytes ?? sizeOf(source);
  if (size === undefined) {
    throw new RangeError("the size of a stream is unknown: pass sizeBytes");
  }
  const { mimeType, displayName = "", name = "" } = options;
  const metadata = { mimeType, displayName, name, sizeBytes: BigInt(size) };
  return messages(metadata, source);
}

async function* messages(
  metadata: { mimeType: string; displayName: string; name: string; sizeBytes: bigint },
  source: UploadSource,
): AsyncGenerator<MessageInitShape<typeof UploadFileRequestSchema>> {
  yield { payload: { case: "metadata", value: metadata } };
  for await (const bytes of chunksOf(source)) {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      const value = bytes.subarray(start, start + PIECE_BYTES);
      yield { payload: { case: "chunk", value } };
    }
  }
}

function sizeOf(source: UploadSource): number | undefined {
  if (source instanceof Uint8Array) {
    return source.length;
  }
  return source instanceof Blob ? source.size : undefined;
}

async function* chunksOf(source: UploadSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) {
    yield source;
  } else if (source instanceof Blob) {
    for (let start = 0; start < source.size; start += PIECE_BYTES) {
      yield new Uint8Array(await source.slice(start, start + PIECE_BYTES).arrayBuffer());
    }
  } else {
    yield* source;
  }
}
