package dev.contextbridge.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Whom a client trusts, and who it is. Immutable. Everything is PEM. */
public final class Tls {
  private static final byte[] NONE = {};

  private final byte[] roots;
  private final byte[] chain;
  private final byte[] key;
  private final String serverName;

  private Tls(byte[] roots, byte[] chain, byte[] key, String serverName) {
    this.roots = roots;
    this.chain = chain;
    this.key = key;
    this.serverName = serverName;
  }

  /**
   * Trusts the authorities that Java trusts, and shows no certificate.
   *
   * @return TLS with the system's roots
   */
  public static Tls systemRoots() {
    return new Tls(NONE, NONE, NONE, "");
  }

  /**
   * Trusts the authorities in a file, and no others.
   *
   * @param file their certificates
   * @return TLS with these roots
   * @throws IOException where the file cannot be read
   */
  public static Tls trusting(Path file) throws IOException {
    return trusting(Files.readAllBytes(file));
  }

  /**
   * Trusts these authorities, and no others.
   *
   * @param pem their certificates
   * @return TLS with these roots
   */
  public static Tls trusting(byte[] pem) {
    return new Tls(pem.clone(), NONE, NONE, "");
  }

  /**
   * The same with a certificate of the client's own, for mutual TLS.
   *
   * @param chain the file of the certificate and those that vouch for it
   * @param key the file of its private key, in PKCS #8
   * @return TLS with this certificate
   * @throws IOException where a file cannot be read
   */
  public Tls withCertificate(Path chain, Path key) throws IOException {
    return withCertificate(Files.readAllBytes(chain), Files.readAllBytes(key));
  }

  /**
   * The same with a certificate of the client's own, for mutual TLS.
   *
   * @param chain the certificate and those that vouch for it
   * @param key its private key, in PKCS #8
   * @return TLS with this certificate
   */
  public Tls withCertificate(byte[] chain, byte[] key) {
    return new Tls(roots, chain.clone(), key.clone(), serverName);
  }

  /**
   * The same with another name that the server's certificate is checked against.
   *
   * @param name the name, instead of the target's
   * @return TLS with this name
   */
  public Tls withServerName(String name) {
    return new Tls(roots, chain, key, name);
  }

  ChannelCredentials credentials() {
    TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder();
    try {
      if (roots.length > 0) {
        credentials.trustManager(new ByteArrayInputStream(roots));
      }
      if (chain.length > 0) {
        credentials.keyManager(new ByteArrayInputStream(chain), new ByteArrayInputStream(key));
      }
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
    return credentials.build();
  }

  Optional<String> serverName() {
    return Optional.of(serverName).filter(name -> !name.isEmpty());
  }
}
