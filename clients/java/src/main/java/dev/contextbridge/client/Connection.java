package dev.contextbridge.client;

import dev.contextbridge.v1.CachedContentServiceGrpc;
import dev.contextbridge.v1.ContextServiceGrpc;
import dev.contextbridge.v1.FileServiceGrpc;
import dev.contextbridge.v1.GeminiServiceGrpc;
import dev.contextbridge.v1.ResponseCacheServiceGrpc;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry;
import io.grpc.MethodDescriptor;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * How a client reaches the server.
 *
 * <p>The channel repeats no call that upstream may charge for. It cannot tell a call that the
 * server never saw from one whose connection was lost after the server had begun, and the server's
 * own UNAVAILABLE looks like both. So it retries UNAVAILABLE on reads alone; calls with an {@code
 * idempotency_key}, which are paid once, are repeated above it, and the server does the rest: it
 * knows what upstream has seen.
 */
final class Connection {
  // Whole answers hold images.
  private static final int MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

  // A status lists every field violation; gRPC's own limit of 8 KiB would drop the whole of it.
  private static final int MAX_METADATA_BYTES = 64 * 1024;

  private static final long KEEPALIVE_TIMEOUT_SECONDS = 20;

  private static final Map<String, ?> SERVICE_CONFIG =
      Map.of(
          "loadBalancingConfig",
          List.of(Map.of("round_robin", Map.of())),
          "methodConfig",
          List.of(
              Map.of(
                  "name",
                  Stream.of(
                          ContextServiceGrpc.getGetContextMethod(),
                          ContextServiceGrpc.getListContextsMethod(),
                          GeminiServiceGrpc.getCountTokensMethod(),
                          CachedContentServiceGrpc.getGetCachedContentMethod(),
                          CachedContentServiceGrpc.getListCachedContentsMethod(),
                          FileServiceGrpc.getGetFileMethod(),
                          FileServiceGrpc.getListFilesMethod(),
                          ResponseCacheServiceGrpc.getGetResponseCacheStatisticsMethod())
                      .map(Connection::name)
                      .toList(),
                  "retryPolicy",
                  Map.of(
                      "maxAttempts",
                      4.0,
                      "initialBackoff",
                      "0.2s",
                      "maxBackoff",
                      "3s",
                      "backoffMultiplier",
                      2.0,
                      "retryableStatusCodes",
                      List.of("UNAVAILABLE")))),
          // Retries stop when half of the calls fail: a server in trouble is not helped by more.
          "retryThrottling",
          Map.of("maxTokens", 10.0, "tokenRatio", 0.1));

  private static final String OCTET = "(25[0-5]|2[0-4]\\d|1?\\d?\\d)";
  private static final Pattern LOOPBACK =
      Pattern.compile("127(\\." + OCTET + "){3}|localhost|.+\\.localhost");

  private Connection() {}

  /**
   * Opens a channel.
   *
   * @param tls null for plain text
   * @param options what the caller changes, after everything else
   * @throws IllegalArgumentException for a target or a certificate that gRPC does not take
   */
  static ManagedChannel open(
      String target, Tls tls, Duration keepalive, Consumer<ManagedChannelBuilder<?>> options) {
    ManagedChannelBuilder<?> channel =
        builder(target, tls)
            .userAgent("contextbridge-java/" + Version.VERSION)
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            .maxInboundMetadataSize(MAX_METADATA_BYTES)
            .defaultServiceConfig(SERVICE_CONFIG)
            // Whoever owns the DNS zone would otherwise decide which paid calls are repeated.
            .disableServiceConfigLookUp();
    if (!keepalive.isZero()) {
      channel
          .keepAliveTime(keepalive.toNanos(), TimeUnit.NANOSECONDS)
          .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
          .keepAliveWithoutCalls(false);
    }
    if (isLocal(target)) {
      // A proxy that the environment names is not on this machine.
      channel.proxyDetector(address -> null);
    }
    if (tls != null) {
      tls.serverName().ifPresent(channel::overrideAuthority);
    }
    options.accept(channel);
    return channel.build();
  }

  private static ManagedChannelBuilder<?> builder(String target, Tls tls) {
    ChannelCredentials credentials =
        tls == null ? InsecureChannelCredentials.create() : tls.credentials();
    try {
      return Grpc.newChannelBuilder(target, credentials);
    } catch (ManagedChannelRegistry.ProviderNotFoundException refusal) {
      throw new IllegalArgumentException("the target or a certificate is no good", refusal);
    }
  }

  /** Whether everything that goes to a target stays on this machine. */
  static boolean isLocal(String target) {
    int colon = target.indexOf(':');
    String scheme = target.substring(0, Math.max(0, colon));
    if (scheme.equals("unix")) {
      return true;
    }
    // dns://authority/host:port names the host last.
    int start = scheme.equals("dns") ? Math.max(colon, target.lastIndexOf('/')) + 1 : 0;
    return isLoopback(host(target.substring(start)));
  }

  private static String host(String address) {
    if (address.startsWith("[")) {
      return address.substring(1, Math.max(1, address.indexOf(']')));
    }
    int colon = address.indexOf(':');
    return colon < 0 || colon != address.lastIndexOf(':') ? address : address.substring(0, colon);
  }

  private static boolean isLoopback(String host) {
    if (!host.contains(":")) {
      return LOOPBACK.matcher(host).matches();
    }
    try {
      // In brackets it is read as an address and never looked up.
      return InetAddress.getByName("[" + host + "]").isLoopbackAddress();
    } catch (UnknownHostException none) {
      return false;
    }
  }

  private static Map<String, ?> name(MethodDescriptor<?, ?> method) {
    return Map.of("service", method.getServiceName(), "method", method.getBareMethodName());
  }
}
