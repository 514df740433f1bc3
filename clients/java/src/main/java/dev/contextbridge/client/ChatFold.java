package dev.contextbridge.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.contextbridge.v1.ChatChoice;
import dev.contextbridge.v1.ChatCompleted;
import dev.contextbridge.v1.ChatMessage;
import dev.contextbridge.v1.ChatStarted;
import dev.contextbridge.v1.ChatToolCall;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.ChoiceFinished;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.TextDelta;
import dev.contextbridge.v1.TokenLogprob;
import dev.contextbridge.v1.ToolCallDelta;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/** Folds the events of ChatWithContext. */
final class ChatFold extends Fold<ChatWithContextResponse, CompleteChatWithContextResponse> {
  private final SortedMap<Integer, Choice> choices = new TreeMap<>();
  private ChatStarted started = ChatStarted.getDefaultInstance();
  private ChatCompleted completed = ChatCompleted.getDefaultInstance();

  @Override
  String lastEvent() {
    return "`completed`";
  }

  @Override
  void add(ChatWithContextResponse event) {
    reached(event.getSequence());
    switch (event.getEventCase()) {
      case STARTED -> {
        started = event.getStarted();
        resumable(started.getResumable());
      }
      case CONTENT -> {
        TextDelta delta = event.getContent();
        Choice choice = choice(delta.getIndex());
        choice.content.append(delta.getText());
        choice.logprobs.addAll(delta.getLogprobsList());
      }
      case REASONING -> {
        TextDelta delta = event.getReasoning();
        choice(delta.getIndex()).reasoning.append(delta.getText());
      }
      case REFUSAL -> {
        TextDelta delta = event.getRefusal();
        Choice choice = choice(delta.getIndex());
        choice.refusal.append(delta.getText());
        choice.refusalLogprobs.addAll(delta.getLogprobsList());
      }
      case TOOL_CALL -> {
        ToolCallDelta delta = event.getToolCall();
        choice(delta.getIndex()).toolCall(delta.getCallIndex()).add(delta);
      }
      case CHOICE_FINISHED -> {
        ChoiceFinished finished = event.getChoiceFinished();
        choice(finished.getIndex()).finished = finished;
      }
      case EXTRA -> choice(event.getExtra().getIndex()).extras.add(event.getExtra().getExtraJson());
      case COMPLETED -> {
        completed = event.getCompleted();
        completed();
      }
      case EVENT_NOT_SET -> {
        // A kind that this version does not know changes nothing.
      }
    }
  }

  @Override
  String text(ChatWithContextResponse event, int index) {
    TextDelta delta = event.getContent();
    return delta.getIndex() == index ? delta.getText() : "";
  }

  @Override
  CompleteChatWithContextResponse answer() {
    CompleteChatWithContextResponse.Builder answer =
        CompleteChatWithContextResponse.newBuilder()
            .setId(started.getId())
            .setModel(started.getModel())
            .setSystemFingerprint(started.getSystemFingerprint())
            .setServiceTier(completed.getServiceTier())
            .setExtraJson(completed.getExtraJson());
    String role = started.getRole().isEmpty() ? "assistant" : started.getRole();
    choices.forEach((index, choice) -> answer.addChoices(choice.build(index, role)));
    if (started.hasCreateTime()) {
      answer.setCreateTime(started.getCreateTime());
    }
    if (completed.hasUsage()) {
      answer.setUsage(completed.getUsage());
    }
    if (completed.hasResponseCache()) {
      answer.setResponseCache(completed.getResponseCache());
    }
    if (completed.hasBilledUsage()) {
      answer.setBilledUsage(completed.getBilledUsage());
    }
    if (completed.hasContext()) {
      answer.setContext(completed.getContext());
    }
    return answer.build();
  }

  private Choice choice(int index) {
    return choices.computeIfAbsent(index, added -> new Choice());
  }

  /** One choice, while it grows. */
  private static final class Choice {
    final StringBuilder content = new StringBuilder();
    final StringBuilder reasoning = new StringBuilder();
    final StringBuilder refusal = new StringBuilder();
    final List<TokenLogprob> logprobs = new ArrayList<>();
    final List<TokenLogprob> refusalLogprobs = new ArrayList<>();
    final SortedMap<Integer, ToolCall> toolCalls = new TreeMap<>();
    final List<String> extras = new ArrayList<>();
    ChoiceFinished finished = ChoiceFinished.getDefaultInstance();

    ToolCall toolCall(int index) {
      return toolCalls.computeIfAbsent(index, added -> new ToolCall());
    }

    ChatChoice build(int index, String role) {
      // What upstream said besides of the choice and, under `delta`, of its message.
      JsonObject ofChoice = new JsonObject();
      JsonObject ofMessage = new JsonObject();
      for (String extra : extras) {
        JsonObject members = Json.parse(extra);
        if (members.get("delta") instanceof JsonObject delta) {
          members.remove("delta");
          Json.merge(ofMessage, delta);
        }
        Json.merge(ofChoice, members);
      }
      ChatMessage.Builder message =
          ChatMessage.newBuilder()
              .setRole(role)
              .setContent(content.toString())
              .setName(takeName(ofMessage))
              .setReasoning(reasoning.toString())
              .setRefusal(refusal.toString())
              .setExtraJson(Json.text(ofMessage));
      toolCalls.values().forEach(call -> message.addToolCalls(call.build()));
      return ChatChoice.newBuilder()
          .setIndex(index)
          .setMessage(message)
          .setFinishReasonValue(finished.getFinishReasonValue())
          .setFinishReasonRaw(finished.getFinishReasonRaw())
          .setModerationHitType(finished.getModerationHitType())
          .addAllLogprobs(logprobs)
          .addAllRefusalLogprobs(refusalLogprobs)
          .setExtraJson(Json.text(ofChoice))
          .build();
    }

    /** A whole message has a field for the speaker's name, and no event has. */
    private static String takeName(JsonObject ofMessage) {
      JsonElement name = ofMessage.get("name");
      if (name == null || !name.isJsonPrimitive() || !name.getAsJsonPrimitive().isString()) {
        return "";
      }
      return ofMessage.remove("name").getAsString();
    }
  }

  /** One tool call, while it grows. */
  private static final class ToolCall {
    private final StringBuilder arguments = new StringBuilder();
    private String id = "";
    private String name = "";
    private final List<String> extras = new ArrayList<>();

    void add(ToolCallDelta delta) {
      id = id.isEmpty() ? delta.getId() : id;
      name = name.isEmpty() ? delta.getName() : name;
      arguments.append(delta.getArgumentsJson());
      if (!delta.getExtraJson().isEmpty()) {
        extras.add(delta.getExtraJson());
      }
    }

    ChatToolCall build() {
      return ChatToolCall.newBuilder()
          .setId(id)
          .setName(name)
          .setArgumentsJson(arguments.toString())
          .setExtraJson(Json.merge(extras))
          .build();
    }
  }
}
