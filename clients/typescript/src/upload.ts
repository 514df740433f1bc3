import type { MessageInitShape } from "@bufbuild/protobuf";

import type { UploadFileRequestSchema } from "./v1.js";

const PIECE_BYTES = 256 * 1024;

/** What an uploaded file is. */
export interface UploadOptions {
  /** The IANA media type. */
  readonly mimeType: string;
  /** A name for people, at most 512 characters. */
  readonly displayName?: string;
  /** `files/…`; absent lets upstream choose. */
  readonly name?: string;
  /** The size in bytes; needed where the source is no Uint8Array and no Blob. */
  readonly sizeBytes?: number;
}

/** Bytes, a Blob (so a File), or a stream of bytes such as `fs.createReadStream` gives. */
export type UploadSource = Uint8Array | Blob | AsyncIterable<Uint8Array>;

/** The messages of an upload, in pieces. Throws a RangeError where the size is not known. */
export function uploadMessages(
  source: UploadSource,
  options: UploadOptions,
): AsyncIterable<MessageInitShape<typeof UploadFileRequestSchema>> {
  const size = options.sizeBytes ?? sizeOf(source);
  if (size === undefined) {
    throw new RangeError("the size of a stream is not known: give sizeBytes");
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
