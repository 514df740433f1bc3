package contextbridge

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// A server accepts one ping in five minutes without data and closes the connection of a client
	// that sends more; the rest allows for the network's jitter.
	defaultKeepalive = 330 * time.Second
	keepaliveTimeout = 20 * time.Second

	// A whole answer can contain images.
	maxMessageBytes = 64 << 20

	// A status lists every field violation.
	maxMetadataBytes = 64 << 10
)

// Only reads are retried: the channel cannot distinguish a call that the server never received from
// one that was lost after it had started. Retries stop when half of the calls fail.
const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [{
		"name": [
			{"service": "contextbridge.v1.ContextService", "method": "GetContext"},
			{"service": "contextbridge.v1.ContextService", "method": "ListContexts"},
			{"service": "contextbridge.v1.GeminiService", "method": "CountTokens"},
			{"service": "contextbridge.v1.CachedContentService", "method": "GetCachedContent"},
			{"service": "contextbridge.v1.CachedContentService", "method": "ListCachedContents"},
			{"service": "contextbridge.v1.FileService", "method": "GetFile"},
			{"service": "contextbridge.v1.FileService", "method": "ListFiles"},
			{"service": "contextbridge.v1.ResponseCacheService", "method": "GetResponseCacheStatistics"},
			{"service": "grpc.health.v1.Health", "method": "Check"}
		],
		"retryPolicy": {
			"maxAttempts": 4,
			"initialBackoff": "0.2s",
			"maxBackoff": "3s",
			"backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}],
	"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
}`

// Option configures a client: its connection, or its calls.
type Option interface{ apply(*settings) }

// CallOption configures a call, or every call of a client if it is given to New.
type CallOption func(*callSettings)

func (o CallOption) apply(s *settings) { o(&s.call) }

type clientOption func(*settings)

func (o clientOption) apply(s *settings) { o(s) }

type settings struct {
	token          func(context.Context) (string, error)
	upstreamAPIKey string
	insecureToken  bool
	tls            *tls.Config
	keepalive      time.Duration
	timeout        time.Duration
	dial           []grpc.DialOption
	call           callSettings
}

type callSettings struct {
	resume Resume
}

// WithToken sends a token with every call, in the header "authorization: Bearer".
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource calls a function for the token of each call, so that tokens can rotate. If the
// function fails, the call fails with Unauthenticated.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return clientOption(func(s *settings) { s.token = source })
}

// WithUpstreamAPIKey sends the caller's own API key for upstream, for servers that forward it.
func WithUpstreamAPIKey(key string) Option {
	return clientOption(func(s *settings) { s.upstreamAPIKey = key })
}

// WithTLS connects with TLS. A nil config trusts the system's roots. RootCAs sets the trusted
// authorities, ServerName the expected name, and Certificates the client's certificate.
func WithTLS(config *tls.Config) Option {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return clientOption(func(s *settings) { s.tls = config })
}

// WithInsecureToken allows sending the token and the key unencrypted to another machine. Use it
// where another layer encrypts the connection, such as a service mesh.
func WithInsecureToken() Option {
	return clientOption(func(s *settings) { s.insecureToken = true })
}

// WithKeepalive sets the interval of keepalive pings during a call. gRPC raises an interval below 10
// seconds to that. A server closes the connection of a client that pings more often than the server
// allows, by default every 5 minutes. 0 sends no pings; the default is 330 seconds.
func WithKeepalive(interval time.Duration) Option {
	return clientOption(func(s *settings) { s.keepalive = interval })
}

// WithTimeout sets the deadline of each call whose context has none. It covers a whole stream,
// including its resumptions, and each page of a list.
func WithTimeout(timeout time.Duration) Option {
	return clientOption(func(s *settings) { s.timeout = timeout })
}

// WithDialOptions appends gRPC's own dial options to those of the client.
func WithDialOptions(options ...grpc.DialOption) Option {
	return clientOption(func(s *settings) { s.dial = append(s.dial, options...) })
}

// WithResume sets how a broken call with an idempotency key is resumed.
func WithResume(resume Resume) CallOption {
	return func(c *callSettings) { c.resume = resume }
}

// WithoutResume disables resuming: the first break is the call's error.
func WithoutResume() CallOption { return WithResume(Resume{Attempts: -1}) }

func (s *settings) secret() bool { return s.token != nil || s.upstreamAPIKey != "" }

func (s *settings) dialOptions(local bool) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("contextbridge-go/" + Version),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// A service config in DNS could otherwise enable retries of calls that cost money.
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(maxMetadataBytes),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
	}
	if local {
		// A proxy from the environment cannot reach this machine's loopback addresses.
		options = append(options, grpc.WithNoProxy())
	}
	if s.secret() {
		options = append(options, grpc.WithPerRPCCredentials(secrets{s}))
	}
	if s.keepalive > 0 {
		options = append(options, grpc.WithKeepaliveParams(
			keepalive.ClientParameters{Time: s.keepalive, Timeout: keepaliveTimeout},
		))
	}
	return append(options, s.dial...)
}

// secrets are the credentials that every call carries.
type secrets struct{ settings *settings }

func (s secrets) GetRequestMetadata(
	ctx context.Context, _ ...string,
) (map[string]string, error) {
	metadata := map[string]string{}
	if s.settings.upstreamAPIKey != "" {
		metadata["x-upstream-api-key"] = s.settings.upstreamAPIKey
	}
	if s.settings.token != nil {
		token, err := s.settings.token(ctx)
		if err != nil {
			return nil, err
		}
		metadata["authorization"] = "Bearer " + token
	}
	return metadata, nil
}

// RequireTransportSecurity returns false because New has checked the transport already.
func (secrets) RequireTransportSecurity() bool { return false }

// isLocal reports whether all traffic to a target stays on this machine.
func isLocal(target string) bool {
	scheme, rest, _ := strings.Cut(target, ":")
	switch scheme {
	case "unix", "unix-abstract":
		return true
	case "dns", "passthrough":
		// dns://authority/host:port names the host last.
		target = rest[strings.LastIndex(rest, "/")+1:]
	}
	return isLoopback(hostOf(target))
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
