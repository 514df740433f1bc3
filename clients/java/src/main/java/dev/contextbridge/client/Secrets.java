package dev.contextbridge.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.util.function.Supplier;

/**
 * Puts on every call who the caller is. Suppliers are asked for each call, and may be null.
 *
 * @param token what goes as {@code authorization: Bearer …}
 * @param upstreamApiKey the caller's own key of upstream
 */
record Secrets(Supplier<String> token, Supplier<String> upstreamApiKey)
    implements ClientInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<String> UPSTREAM_API_KEY =
      Metadata.Key.of("x-upstream-api-key", Metadata.ASCII_STRING_MARSHALLER);

  /** Returns a secret that can be sent. gRPC would drop one that cannot, and log it. */
  static String checked(String secret) {
    if (!secret.chars().allMatch(it -> it >= ' ' && it <= '~')) {
      throw new IllegalArgumentException("a token or key is made of printable ASCII characters");
    }
    return secret;
  }

  boolean isEmpty() {
    return token == null && upstreamApiKey == null;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<R> listener, Metadata headers) {
        if (token != null) {
          headers.put(AUTHORIZATION, "Bearer " + checked(token.get()));
        }
        if (upstreamApiKey != null) {
          headers.put(UPSTREAM_API_KEY, checked(upstreamApiKey.get()));
        }
        super.start(listener, headers);
      }
    };
  }
}
