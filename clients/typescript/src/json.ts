/** The members of a JSON object, by name. The values are JSON texts, unchanged. */
export type Members = Map<string, string>;

/** Returns the members of a JSON object; undefined if the text is not a JSON object. */
export function membersOf(text: string): Members | undefined {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{") || !isJson(trimmed)) {
    return undefined;
  }
  const members: Members = new Map();
  for (const member of split(trimmed.slice(1, -1), ",")) {
    const [name, ...value] = split(member, ":");
    members.set(JSON.parse(name ?? "") as string, value.join(":").trim());
  }
  return members;
}

/** Returns the JSON text of an object; empty for an object without members. */
export function textOfMembers(members: Members): string {
  if (members.size === 0) {
    return "";
  }
  const texts = [...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  return `{${texts.join(",")}}`;
}

/**
 * Merges the texts of JSON objects, shallowly; a later member replaces an earlier one of its name. A
 * single text is returned unchanged.
 */
export function mergeJson(texts: readonly string[]): string {
  if (texts.length <= 1) {
    return texts.join("");
  }
  return textOfMembers(new Map(texts.flatMap((text) => [...(membersOf(text) ?? [])])));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Splits valid JSON at a separator outside of its strings, arrays and objects. */
function split(text: string, separator: string): string[] {
  const pieces: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '"') {
      at = endOfString(text, at);
    } else if ("[{".includes(character)) {
      depth += 1;
    } else if ("]}".includes(character)) {
      depth -= 1;
    } else if (character === separator && depth === 0) {
      pieces.push(text.slice(start, at));
      start = at + 1;
    }
  }
  const last = text.slice(start);
  return last.trim() ? [...pieces, last] : pieces;
}

/** Returns the position of the closing quote of the JSON string that starts at a position. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text.charAt(at) === "\\") {
      at += 1;
    } else if (text.charAt(at) === '"') {
      return at;
    }
  }
  return text.length;
}
