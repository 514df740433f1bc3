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
	// Servers take one ping in five minutes without data and cut off whoever sends more; the rest
	// is room for the network's jitter.
	defaultKeepalive = 330 * time.Second
	keepaliveTimeout = 20 * time.Second

	// Whole answers hold images.
	maxMessageBytes = 64 << 20

	// A status lists every field violation.
	maxMetadataBytes = 64 << 10
)

// Retries are for reads alone: the channel cannot tell a call that the server never saw from one
// that was lost after it had begun. They stop when half of the calls fail.
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

// Option changes how a client connects, or how its calls are made.
type Option interface{ apply(*settings) }

// CallOption changes how a call is made. Given to New it is for every call.
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

// WithToken sends a token with every call, as authorization: Bearer.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for the token of each call, so that it can be replaced while the client
// lives. Where that fails, so does the call, with Unauthenticated.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return clientOption(func(s *settings) { s.token = source })
}

// WithUpstreamAPIKey sends the caller's own key of upstream, where the server passes it on.
func WithUpstreamAPIKey(key string) Option {
	return clientOption(func(s *settings) { s.upstreamAPIKey = key })
}

// WithTLS connects with TLS. A nil config trusts the system's roots; RootCAs, ServerName and
// Certificates are whom to trust, the name to check, and who the client is.
func WithTLS(config *tls.Config) Option {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return clientOption(func(s *settings) { s.tls = config })
}

// WithInsecureToken sends token and key in plain text to another machine, where something else
// encrypts the way.
func WithInsecureToken() Option {
	return clientOption(func(s *settings) { s.insecureToken = true })
}

// WithKeepalive sets how often the connection is probed during a call, at least every 10 seconds as
// gRPC has it. Servers cut off clients that probe more often than they allow, by default every 5
// minutes. 0 never probes; the default is 330 seconds.
func WithKeepalive(interval time.Duration) Option {
	return clientOption(func(s *settings) { s.keepalive = interval })
}

// WithTimeout limits each call whose context has no deadline, streams as a whole and resumes
// included; of a list each page.
func WithTimeout(timeout time.Duration) Option {
	return clientOption(func(s *settings) { s.timeout = timeout })
}

// WithDialOptions adds gRPC's own options after the client's.
func WithDialOptions(options ...grpc.DialOption) Option {
	return clientOption(func(s *settings) { s.dial = append(s.dial, options...) })
}

// WithResume sets how a broken call with an idempotency key is taken up again.
func WithResume(resume Resume) CallOption {
	return func(c *callSettings) { c.resume = resume }
}

// WithoutResume leaves it to the caller to take up a call that broke.
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
		// Whoever owns the DNS zone would otherwise decide which paid calls are repeated.
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(maxMetadataBytes),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
	}
	if local {
		// A proxy named in the environment is not on this machine.
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

// secrets are what every call carries.
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

// RequireTransportSecurity is false because New has checked the way already.
func (secrets) RequireTransportSecurity() bool { return false }

// isLocal tells whether everything that goes to a target stays on this machine.
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
