import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import dev.contextbridge.client.AnswerStream;
import dev.contextbridge.client.ContextBridgeClient;
import dev.contextbridge.client.ContextBridgeException;
import dev.contextbridge.client.Resume;
import dev.contextbridge.client.Tls;
import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.CountTokensRequest;
import dev.contextbridge.v1.CreateCachedContentRequest;
import dev.contextbridge.v1.CreateCachedContentResponse;
import dev.contextbridge.v1.CreateContextRequest;
import dev.contextbridge.v1.DeleteCachedContentRequest;
import dev.contextbridge.v1.DeleteCachedContentResponse;
import dev.contextbridge.v1.DeleteCachedResponsesRequest;
import dev.contextbridge.v1.DeleteCachedResponsesResponse;
import dev.contextbridge.v1.DeleteContextRequest;
import dev.contextbridge.v1.DeleteContextResponse;
import dev.contextbridge.v1.DeleteFileRequest;
import dev.contextbridge.v1.DeleteFileResponse;
import dev.contextbridge.v1.GenerateContentRequest;
import dev.contextbridge.v1.GetCachedContentRequest;
import dev.contextbridge.v1.GetCachedContentResponse;
import dev.contextbridge.v1.GetContextRequest;
import dev.contextbridge.v1.GetContextResponse;
import dev.contextbridge.v1.GetFileRequest;
import dev.contextbridge.v1.GetFileResponse;
import dev.contextbridge.v1.GetResponseCacheStatisticsResponse;
import dev.contextbridge.v1.ListCachedContentsRequest;
import dev.contextbridge.v1.ListCachedContentsResponse;
import dev.contextbridge.v1.ListContextsRequest;
import dev.contextbridge.v1.ListContextsResponse;
import dev.contextbridge.v1.ListFilesRequest;
import dev.contextbridge.v1.ListFilesResponse;
import dev.contextbridge.v1.UpdateCachedContentRequest;
import dev.contextbridge.v1.UpdateCachedContentResponse;
import dev.contextbridge.v1.UpdateContextRequest;
import dev.contextbridge.v1.UpdateContextResponse;
import dev.contextbridge.v1.UploadFileMetadata;
import dev.contextbridge.v1.UploadFileResponse;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;

/** The conformance runner: {@code Conformance PLAN}, see ../../../conformance/README.md. */
final class Conformance {
  private static final double NANOS = 1e9;

  private Conformance() {}

  /** Runs every case of the plan and reports it. */
  public static void main(String[] arguments) throws IOException {
    // Not System.out, whose encoding is the environment's.
    FileOutputStream output = new FileOutputStream(FileDescriptor.out);
    try (PrintStream reports = new PrintStream(output, true, StandardCharsets.UTF_8)) {
      String plan = Files.readString(Path.of(arguments[0]));
      for (JsonElement each :
          JsonParser.parseString(plan).getAsJsonObject().getAsJsonArray("cases")) {
        JsonObject theCase = each.getAsJsonObject();
        try (ContextBridgeClient client = connect(theCase.getAsJsonObject("connect"))) {
          reports.println(run(client, theCase));
        }
      }
    }
  }

  private static ContextBridgeClient connect(JsonObject connect) throws IOException {
    ContextBridgeClient.Builder builder =
        ContextBridgeClient.builder().target(connect.get("target").getAsString());
    if (connect.has("token")) {
      builder.token(connect.get("token").getAsString());
    }
    if (connect.has("insecure_token")) {
      builder.insecureToken(connect.get("insecure_token").getAsBoolean());
    }
    if (connect.has("ca_file")) {
      Tls tls = Tls.trusting(Path.of(connect.get("ca_file").getAsString()));
      builder.tls(
          connect.has("server_name")
              ? tls.withServerName(connect.get("server_name").getAsString())
              : tls);
    }
    if (connect.has("keepalive")) {
      builder.keepalive(seconds(connect.get("keepalive")));
    }
    return builder.build();
  }

  private static JsonObject run(ContextBridgeClient connected, JsonObject theCase)
      throws IOException {
    JsonObject report = new JsonObject();
    report.add("name", theCase.get("name"));
    ContextBridgeClient client = connected;
    if (theCase.has("timeout")) {
      client = client.withTimeout(seconds(theCase.get("timeout")));
    }
    if (theCase.has("resume") && !theCase.get("resume").getAsBoolean()) {
      client = client.withResume(Resume.OFF);
    }
    try {
      switch (theCase.get("call").getAsString()) {
        case "ChatWithContext" -> read(client.chat(chat(theCase)), theCase, report);
        case "StreamGenerateContent" ->
            read(client.streamGenerateContent(generate(theCase)), theCase, report);
        default -> report.add("response", json(call(client, theCase)));
      }
    } catch (ContextBridgeException error) {
      report.add("error", failure(error));
    }
    return report;
  }

  /** Reads a stream as the case says; what comes before a failure is reported too. */
  private static <E extends Message, A extends Message> void read(
      AnswerStream<E, A> answer, JsonObject theCase, JsonObject report) throws IOException {
    try (AnswerStream<E, A> stream = answer) {
      switch (theCase.has("read") ? theCase.get("read").getAsString() : "events") {
        case "answer" -> report.add("response", json(stream.answer()));
        case "text" -> {
          JsonArray texts = new JsonArray();
          report.add("texts", texts);
          for (String piece : stream.text()) {
            texts.add(piece);
          }
        }
        default -> {
          int last = theCase.has("cancel_after") ? theCase.get("cancel_after").getAsInt() : -1;
          JsonArray events = new JsonArray();
          report.add("events", events);
          for (E event : stream) {
            events.add(json(event));
            if (events.size() == last) {
              report.addProperty("cancelled", true);
              return;
            }
          }
        }
      }
    }
  }

  private static Message call(ContextBridgeClient client, JsonObject theCase) throws IOException {
    return switch (theCase.get("call").getAsString()) {
      case "CreateContext" ->
          client.createContext(request(theCase, CreateContextRequest.newBuilder()).build());
      case "GetContext" ->
          GetContextResponse.newBuilder()
              .setContext(
                  client.getContext(request(theCase, GetContextRequest.newBuilder()).getId()))
              .build();
      case "ListContexts" ->
          ListContextsResponse.newBuilder()
              .addAllContexts(
                  client.listContexts(request(theCase, ListContextsRequest.newBuilder()).build()))
              .build();
      case "UpdateContext" ->
          UpdateContextResponse.newBuilder()
              .setContext(
                  client.updateContext(request(theCase, UpdateContextRequest.newBuilder()).build()))
              .build();
      case "DeleteContext" -> {
        client.deleteContext(request(theCase, DeleteContextRequest.newBuilder()).getId());
        yield DeleteContextResponse.getDefaultInstance();
      }
      case "CompleteChatWithContext" -> client.completeChat(chat(theCase));
      case "GenerateContent" -> client.generateContent(generate(theCase));
      case "CountTokens" ->
          client.countTokens(request(theCase, CountTokensRequest.newBuilder()).build());
      case "CreateCachedContent" ->
          CreateCachedContentResponse.newBuilder()
              .setCachedContent(
                  client.createCachedContent(
                      request(theCase, CreateCachedContentRequest.newBuilder()).build()))
              .build();
      case "GetCachedContent" ->
          GetCachedContentResponse.newBuilder()
              .setCachedContent(
                  client.getCachedContent(
                      request(theCase, GetCachedContentRequest.newBuilder()).getName()))
              .build();
      case "ListCachedContents" ->
          ListCachedContentsResponse.newBuilder()
              .addAllCachedContents(
                  client.listCachedContents(
                      request(theCase, ListCachedContentsRequest.newBuilder()).build()))
              .build();
      case "UpdateCachedContent" ->
          UpdateCachedContentResponse.newBuilder()
              .setCachedContent(
                  client.updateCachedContent(
                      request(theCase, UpdateCachedContentRequest.newBuilder()).build()))
              .build();
      case "DeleteCachedContent" -> {
        client.deleteCachedContent(
            request(theCase, DeleteCachedContentRequest.newBuilder()).getName());
        yield DeleteCachedContentResponse.getDefaultInstance();
      }
      case "UploadFile" ->
          UploadFileResponse.newBuilder()
              .setFile(
                  client.uploadFile(
                      Base64.getDecoder().decode(theCase.get("upload").getAsString()),
                      request(theCase, UploadFileMetadata.newBuilder()).build()))
              .build();
      case "GetFile" ->
          GetFileResponse.newBuilder()
              .setFile(client.getFile(request(theCase, GetFileRequest.newBuilder()).getName()))
              .build();
      case "ListFiles" ->
          ListFilesResponse.newBuilder()
              .addAllFiles(
                  client.listFiles(request(theCase, ListFilesRequest.newBuilder()).build()))
              .build();
      case "DeleteFile" -> {
        client.deleteFile(request(theCase, DeleteFileRequest.newBuilder()).getName());
        yield DeleteFileResponse.getDefaultInstance();
      }
      case "DeleteCachedResponses" ->
          DeleteCachedResponsesResponse.newBuilder()
              .setDeletedCount(
                  client.deleteCachedResponses(
                      request(theCase, DeleteCachedResponsesRequest.newBuilder()).build()))
              .build();
      case "GetResponseCacheStatistics" ->
          GetResponseCacheStatisticsResponse.newBuilder()
              .setStatistics(client.getResponseCacheStatistics())
              .build();
      default -> throw new IllegalArgumentException("no such call: " + theCase.get("call"));
    };
  }

  private static ChatWithContextRequest chat(JsonObject theCase) throws IOException {
    return request(theCase, ChatWithContextRequest.newBuilder()).build();
  }

  private static GenerateContentRequest generate(JsonObject theCase) throws IOException {
    return request(theCase, GenerateContentRequest.newBuilder()).build();
  }

  private static <B extends Message.Builder> B request(JsonObject theCase, B builder)
      throws InvalidProtocolBufferException {
    JsonFormat.parser().merge(theCase.get("request").toString(), builder);
    return builder;
  }

  private static JsonElement json(Message message) throws InvalidProtocolBufferException {
    return JsonParser.parseString(JsonFormat.printer().print(message));
  }

  private static JsonObject failure(ContextBridgeException error) {
    JsonObject metadata = new JsonObject();
    error.metadata().forEach(metadata::addProperty);
    JsonArray violations = new JsonArray();
    for (ContextBridgeException.Violation violation : error.violations()) {
      JsonObject each = new JsonObject();
      each.addProperty("field", violation.field());
      each.addProperty("description", violation.description());
      violations.add(each);
    }
    JsonObject failure = new JsonObject();
    failure.addProperty("code", error.code().name());
    failure.addProperty("reason", error.reason());
    failure.addProperty("message", error.message());
    failure.add("metadata", metadata);
    failure.add("violations", violations);
    failure.add("retry_delay", JsonNull.INSTANCE);
    error
        .retryDelay()
        .ifPresent(delay -> failure.addProperty("retry_delay", delay.toNanos() / NANOS));
    failure.addProperty("request_id", error.requestId());
    failure.addProperty("upstream_message", error.upstreamMessage());
    return failure;
  }

  private static Duration seconds(JsonElement number) {
    return Duration.ofNanos((long) (number.getAsDouble() * NANOS));
  }
}
