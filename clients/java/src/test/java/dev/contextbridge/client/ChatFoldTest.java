package dev.contextbridge.client;

import static dev.contextbridge.client.Events.completed;
import static dev.contextbridge.client.Events.content;
import static dev.contextbridge.client.Events.event;
import static dev.contextbridge.client.Events.started;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.UnknownFieldSet;
import dev.contextbridge.v1.ChatMessage;
import dev.contextbridge.v1.ChatStarted;
import dev.contextbridge.v1.ChatToolCall;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.ChoiceFinished;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.ExtraDelta;
import dev.contextbridge.v1.FinishReason;
import dev.contextbridge.v1.TextDelta;
import dev.contextbridge.v1.TokenLogprob;
import dev.contextbridge.v1.ToolCallDelta;
import java.util.List;
import org.junit.jupiter.api.Test;

class ChatFoldTest {
  private final ChatFold fold = new ChatFold();

  private CompleteChatWithContextResponse folded(ChatWithContextResponse... events) {
    for (ChatWithContextResponse event : events) {
      fold.add(event);
    }
    return fold.answer();
  }

  @Test
  void piecesOfTextBecomeOneMessage() {
    TokenLogprob logprob = TokenLogprob.newBuilder().setToken("Ob").build();
    CompleteChatWithContextResponse answer =
        folded(
            started(1),
            event(2).setReasoning(TextDelta.newBuilder().setText("Hm.")).build(),
            content(3, "At "),
            event(4)
                .setContent(TextDelta.newBuilder().setText("Oban.").addLogprobs(logprob))
                .build(),
            event(5).setRefusal(TextDelta.newBuilder().setText("No.").addLogprobs(logprob)).build(),
            event(6)
                .setChoiceFinished(
                    ChoiceFinished.newBuilder()
                        .setFinishReason(FinishReason.FINISH_REASON_STOP)
                        .setFinishReasonRaw("stop"))
                .build(),
            completed(7));

    assertEquals("answer-1", answer.getId());
    assertEquals(1, answer.getChoicesCount());
    assertEquals(
        ChatMessage.newBuilder()
            .setRole("assistant")
            .setContent("At Oban.")
            .setReasoning("Hm.")
            .setRefusal("No.")
            .build(),
        answer.getChoices(0).getMessage());
    assertEquals("stop", answer.getChoices(0).getFinishReasonRaw());
    assertEquals(1, answer.getChoices(0).getLogprobsCount());
    assertEquals(1, answer.getChoices(0).getRefusalLogprobsCount());
    assertEquals(7, fold.sequence());
    assertTrue(fold.isComplete());
  }

  @Test
  void choicesAreInOrderOfTheirIndex() {
    CompleteChatWithContextResponse answer =
        folded(
            event(1).setContent(TextDelta.newBuilder().setIndex(1).setText("b")).build(),
            event(2).setContent(TextDelta.newBuilder().setText("a")).build());

    assertEquals("a", Answers.textOf(answer));
    assertEquals("b", Answers.textOf(answer, 1));
    assertEquals("", Answers.textOf(answer, 2));
    assertEquals(1, answer.getChoices(1).getIndex());
  }

  @Test
  void toolCallsAreJoinedFromTheirPieces() {
    CompleteChatWithContextResponse answer =
        folded(
            toolCall(1, ToolCallDelta.newBuilder().setCallIndex(1).setId("2").setName("get_wind")),
            toolCall(2, ToolCallDelta.newBuilder().setId("1").setName("get_tide")),
            toolCall(3, ToolCallDelta.newBuilder().setArgumentsJson("{\"place\":")),
            toolCall(4, ToolCallDelta.newBuilder().setCallIndex(1).setArgumentsJson("{}")),
            toolCall(5, ToolCallDelta.newBuilder().setArgumentsJson("\"Oban\"}")));

    assertEquals(
        ChatMessage.newBuilder()
            .setRole("assistant")
            .addToolCalls(
                ChatToolCall.newBuilder()
                    .setId("1")
                    .setName("get_tide")
                    .setArgumentsJson("{\"place\":\"Oban\"}"))
            .addToolCalls(
                ChatToolCall.newBuilder().setId("2").setName("get_wind").setArgumentsJson("{}"))
            .build(),
        answer.getChoices(0).getMessage());
  }

  @Test
  void extrasOfAToolCallAreMerged() {
    CompleteChatWithContextResponse answer =
        folded(
            toolCall(1, ToolCallDelta.newBuilder().setId("1").setExtraJson("{\"a\": 1, \"b\": 2}")),
            toolCall(2, ToolCallDelta.newBuilder().setArgumentsJson("{}")),
            toolCall(3, ToolCallDelta.newBuilder().setExtraJson("{\"b\": 3}")),
            toolCall(
                4,
                ToolCallDelta.newBuilder().setCallIndex(1).setExtraJson("{ \"sign\": \"c2ln\" }")));

    List<ChatToolCall> calls = answer.getChoices(0).getMessage().getToolCallsList();
    assertEquals("{\"a\":1,\"b\":3}", calls.get(0).getExtraJson());
    assertEquals("{ \"sign\": \"c2ln\" }", calls.get(1).getExtraJson());
  }

  @Test
  void extrasGoToTheChoiceAndToItsMessage() {
    CompleteChatWithContextResponse answer =
        folded(
            extra(
                1, "{\"seen\": 1, \"big\": 12345678901234567890, \"delta\": {\"name\": \"Kerr\"}}"),
            extra(2, "{\"seen\": 2.0, \"delta\": {\"audio\": null}}"));

    assertEquals(
        "{\"seen\":2.0,\"big\":12345678901234567890}", answer.getChoices(0).getExtraJson());
    assertEquals("{\"audio\":null}", answer.getChoices(0).getMessage().getExtraJson());
    assertEquals("Kerr", answer.getChoices(0).getMessage().getName());
  }

  @Test
  void anEventOfAnUnknownKindMovesTheSequenceAlone() {
    UnknownFieldSet.Field member = UnknownFieldSet.Field.newBuilder().addVarint(1).build();
    CompleteChatWithContextResponse answer =
        folded(
            started(1),
            event(2)
                .setUnknownFields(UnknownFieldSet.newBuilder().addField(99, member).build())
                .build());

    assertEquals(2, fold.sequence());
    assertEquals(0, answer.getChoicesCount());
    assertFalse(fold.isComplete());
  }

  @Test
  void startedSaysWhoSpeaksAndWhetherItCanBeResumed() {
    assertTrue(fold.isResumable());
    CompleteChatWithContextResponse answer =
        folded(
            event(1).setStarted(ChatStarted.newBuilder().setRole("critic")).build(),
            content(2, "x"));

    assertFalse(fold.isResumable());
    assertEquals("critic", answer.getChoices(0).getMessage().getRole());
  }

  private static ChatWithContextResponse toolCall(int sequence, ToolCallDelta.Builder delta) {
    return event(sequence).setToolCall(delta).build();
  }

  private static ChatWithContextResponse extra(int sequence, String json) {
    return event(sequence).setExtra(ExtraDelta.newBuilder().setExtraJson(json)).build();
  }
}
