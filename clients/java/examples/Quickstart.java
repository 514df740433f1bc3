import dev.contextbridge.client.Answers;
import dev.contextbridge.client.ChatStream;
import dev.contextbridge.client.Contents;
import dev.contextbridge.client.ContextBridgeClient;
import dev.contextbridge.client.ContextBridgeException;
import dev.contextbridge.client.Messages;
import dev.contextbridge.client.Times;
import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.Context;
import dev.contextbridge.v1.ContextMode;
import dev.contextbridge.v1.CreateContextRequest;
import dev.contextbridge.v1.GenerateContentRequest;
import dev.contextbridge.v1.GenerateContentResponse;
import dev.contextbridge.v1.Usage;
import java.time.Duration;
import java.util.UUID;

/** Chats on a context, asks Gemini, and meets an error: runs against {@code make run}. */
public final class Quickstart {
  private Quickstart() {}

  /** Takes the server's address from CONTEXTBRIDGE_ADDRESS. */
  public static void main(String[] arguments) {
    String address = System.getenv().getOrDefault("CONTEXTBRIDGE_ADDRESS", "127.0.0.1:50051");
    try (ContextBridgeClient client = ContextBridgeClient.builder().target(address).build()) {
      Context context =
          client
              .createContext(
                  CreateContextRequest.newBuilder()
                      .setModel("Doubao-1.5-pro-32k")
                      .addMessages(Messages.system("You keep the lighthouse at Oban."))
                      .setMode(ContextMode.CONTEXT_MODE_SESSION)
                      .setTtl(Times.of(Duration.ofHours(1)))
                      .build())
              .getContext();

      ChatWithContextRequest question =
          ChatWithContextRequest.newBuilder()
              .setContextId(context.getId())
              .setModel(context.getModel())
              .addMessages(Messages.user("Where are you?"))
              .setIdempotencyKey(UUID.randomUUID().toString()) // A broken stream goes on by itself.
              .build();
      try (ChatStream stream = client.chat(question)) {
        for (String piece : stream.text()) {
          System.out.print(piece);
          System.out.flush();
        }
        System.out.println();
        Usage usage = stream.answer().getUsage();
        System.out.printf(
            "%d of %d prompt tokens came from the cache%n",
            usage.getCachedTokens(), usage.getPromptTokens());
      }

      GenerateContentResponse bird =
          client.generateContent(
              GenerateContentRequest.newBuilder()
                  .setModel("gemini-2.5-flash")
                  .addContents(Contents.user("Name one sea bird."))
                  .build());
      System.out.println(Answers.textOf(bird));

      try {
        client.getContext("context-that-is-gone");
      } catch (ContextBridgeException error) {
        System.out.println(error.code() + " " + error.reason());
      }

      client.deleteContext(context.getId());
    }
  }
}
