import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

import { ContextBridgeError } from "../src/errors.js";
import { ChatFold, ContentFold } from "../src/fold.js";
import { membersOf, mergeJson, textOfMembers } from "../src/json.js";
import { Attempts, isBreak } from "../src/resume.js";
import { textOf } from "../src/text.js";
import {
  ChatWithContextResponseSchema,
  ErrorReason,
  GenerateContentResponseSchema,
} from "../src/v1.js";

const event = (value: Parameters<typeof create<typeof ChatWithContextResponseSchema>>[1]) =>
  create(ChatWithContextResponseSchema, value);

test("tool calls and choices are folded", () => {
  const fold = new ChatFold();
  for (const value of [
    { index: 1, callIndex: 1, id: "c-2", name: "g", argumentsJson: "{" },
    { index: 1, callIndex: 0, id: "c-1", name: "f", argumentsJson: '{"a":' },
    { index: 1, callIndex: 0, argumentsJson: "1}" },
    { index: 1, callIndex: 1, argumentsJson: "}" },
  ]) {
    fold.add(event({ event: { case: "toolCall", value } }));
  }
  fold.add(event({ event: { case: "content", value: { text: "Hi" } } }));
  fold.add(event({ sequence: 9 })); // An event of a kind that this version does not know.
  const answer = fold.answer();
  assert.deepEqual(
    answer.choices[1]?.message?.toolCalls.map(({ id, name, argumentsJson }) => [
      id,
      name,
      argumentsJson,
    ]),
    [
      ["c-1", "f", '{"a":1}'],
      ["c-2", "g", "{}"],
    ],
  );
  assert.equal(textOf(answer), "Hi");
  assert.equal(fold.sequence, 9);
});

test("extra members of a tool call are merged", async (t) => {
  const cases: [string, string[], string][] = [
    ["none", ["", ""], ""],
    [
      "one unchanged",
      ["", '{"signature" : "<é>", "n": 1.0}', ""],
      '{"signature" : "<é>", "n": 1.0}',
    ],
    [
      "two, the later member wins",
      ['{"a": 1.0, "b": {"x":1}}', '{"b": {"y":1e7}, "c": null}'],
      '{"a":1.0,"b":{"y":1e7},"c":null}',
    ],
  ];
  for (const [name, extras, wanted] of cases) {
    await t.test(name, () => {
      const fold = new ChatFold();
      for (const extraJson of extras) {
        for (const value of [
          { callIndex: 0, extraJson },
          { callIndex: 1, name: "f" },
        ]) {
          fold.add(event({ event: { case: "toolCall", value } }));
        }
      }
      const calls = fold.answer().choices[0]?.message?.toolCalls;
      assert.deepEqual(
        calls?.map(({ extraJson }) => extraJson),
        [wanted, ""],
      );
    });
  }
});

test("members that upstream adds are merged, their values unchanged", () => {
  const fold = new ChatFold();
  for (const extraJson of [
    '{"a": 1.0, "delta": {"name": "Ann", "x": "},{"}}',
    '{"b": [1e7, {"c": ":"}], "a": 2.50, "delta": {"y": null}}',
  ]) {
    fold.add(event({ event: { case: "extra", value: { extraJson } } }));
  }
  const [choice] = fold.answer().choices;
  assert.equal(choice?.extraJson, '{"a":2.50,"b":[1e7, {"c": ":"}]}');
  assert.equal(choice.message?.extraJson, '{"x":"},{","y":null}');
  assert.equal(choice.message.name, "Ann");
});

test("JSON objects are split into their members", () => {
  assert.equal(membersOf("[1]"), undefined);
  assert.equal(membersOf("{"), undefined);
  assert.deepEqual(
    membersOf(' { "a\\"b" : "x\\\\" , "c":{} } '),
    new Map([
      ['a"b', '"x\\\\"'],
      ["c", "{}"],
    ]),
  );
  assert.equal(textOfMembers(new Map()), "");
  assert.equal(mergeJson(['{"a": 1}']), '{"a": 1}');
  assert.equal(mergeJson(['{"a": 1}', '{"a": 2, "b": 3}']), '{"a":2,"b":3}');
});

test("pieces of Gemini are folded", () => {
  const fold = new ContentFold();
  const text = (value: string, thought = false) => ({
    thought,
    data: { case: "text" as const, value },
  });
  const signed = { ...text("!"), thoughtSignature: new Uint8Array([1]) };
  for (const parts of [
    [text("Hm", true)],
    [text("m.", true), text("Hel")],
    [text("lo")],
    [signed],
    [text("?")],
  ]) {
    fold.add(
      create(GenerateContentResponseSchema, {
        candidates: [
          {
            content: { role: "model", parts },
            citationMetadata: { citationSources: [{ uri: "u" }] },
          },
        ],
        extraJson: '{"a": 1}',
      }),
    );
  }
  fold.add(
    create(GenerateContentResponseSchema, { billedUsage: {}, modelVersion: "v", sequence: 6 }),
  );
  const answer = fold.answer();
  const [candidate] = answer.candidates;
  assert.deepEqual(
    candidate?.content?.parts.map(({ data }) => data.value),
    ["Hmm.", "Hello", "!", "?"],
  );
  assert.equal(candidate.citationMetadata?.citationSources.length, 5);
  assert.equal(answer.modelVersion, "v");
  assert.equal(answer.extraJson, '{"a":1}');
  assert.ok(fold.complete);
});

test("only transient reasons are breaks", () => {
  const breaks = Object.keys(ErrorReason)
    .filter((name) => Number.isNaN(Number(name)))
    .map((name) => `ERROR_REASON_${name}`)
    .filter((reason) => isBreak(new ContextBridgeError(Code.Unavailable, "", { reason })));
  assert.deepEqual(breaks.sort(), ["ERROR_REASON_OVERLOADED", "ERROR_REASON_STORE_UNAVAILABLE"]);
});

test("backoff doubles up to its limit, is at least half, and ends before the deadline", () => {
  const unavailable = new ContextBridgeError(Code.Unavailable, "unavailable");
  for (let round = 0; round < 50; round += 1) {
    const attempts = Attempts.resuming({ attempts: 7, maxBackoffMs: 1_000 }, "k-1");
    for (const longest of [100, 200, 400, 800, 1_000, 1_000, 1_000]) {
      const pause = attempts.pauseAfter(unavailable, Infinity) ?? -1;
      assert.ok(longest / 2 <= pause && pause <= longest, `${pause} of ${longest}`);
    }
    assert.equal(attempts.pauseAfter(unavailable, Infinity), undefined);
  }
  const delayed = new ContextBridgeError(Code.Unavailable, "later", { retryDelayMs: 7_000 });
  assert.equal(Attempts.resuming(true, "k-1").pauseAfter(delayed, Infinity), 7_000);
  assert.equal(Attempts.resuming(true, "k-1").pauseAfter(delayed, 7_000), undefined);
  assert.equal(Attempts.resuming(true, "").pauseAfter(unavailable, Infinity), undefined);
});
