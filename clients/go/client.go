package contextbridge

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// DefaultTarget is the address that `make run` serves on.
const DefaultTarget = "127.0.0.1:50051"

// The longest wait for a connection before a broken call is sent again.
const reconnectTimeout = 10 * time.Second

var errTokenInClear = errors.New("contextbridge: a token or key would leave this machine unencrypted: use " +
	"WithTLS, or WithInsecureToken where another layer encrypts the connection")

// Client is a client of a contextbridge server. It holds one connection per address of the server
// and is safe for concurrent use. Create one and keep it for the life of the process.
type Client struct {
	conn          *grpc.ClientConn
	timeout       time.Duration
	call          callSettings
	contexts      pb.ContextServiceClient
	gemini        pb.GeminiServiceClient
	cached        pb.CachedContentServiceClient
	files         pb.FileServiceClient
	responseCache pb.ResponseCacheServiceClient
}

// New returns a client of the server at a target, such as "bridge.internal:443",
// "dns:///bridge:50051" or "unix:/run/contextbridge.sock"; empty means DefaultTarget. The client
// connects on its first call.
//
// New fails for a token or key that would leave this machine unencrypted, and for a target or an
// option that gRPC rejects.
func New(target string, options ...Option) (*Client, error) {
	if target == "" {
		target = DefaultTarget
	}
	chosen := settings{keepalive: defaultKeepalive}
	for _, option := range options {
		option.apply(&chosen)
	}
	local := isLocal(target)
	if chosen.secret() && chosen.tls == nil && !chosen.insecureToken && !local {
		return nil, errTokenInClear
	}
	conn, err := grpc.NewClient(target, chosen.dialOptions(local)...)
	if err != nil {
		return nil, err
	}
	return &Client{
		conn:          conn,
		timeout:       chosen.timeout,
		call:          chosen.call,
		contexts:      pb.NewContextServiceClient(conn),
		gemini:        pb.NewGeminiServiceClient(conn),
		cached:        pb.NewCachedContentServiceClient(conn),
		files:         pb.NewFileServiceClient(conn),
		responseCache: pb.NewResponseCacheServiceClient(conn),
	}, nil
}

// Conn returns the connection, for the generated stubs and for health checks. Calls on it carry the
// client's token.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close cancels the calls in flight and closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// begin returns the context of a call, with its deadline.
func (c *Client) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); !limited && c.timeout > 0 {
		return context.WithTimeout(ctx, c.timeout)
	}
	return context.WithCancel(ctx)
}

// attempts returns the attempts of a call: one for a request without an idempotency key.
func (c *Client) attempts(request any, options []CallOption) attempts {
	chosen := c.call
	for _, option := range options {
		option(&chosen)
	}
	keyed, ok := request.(interface{ GetIdempotencyKey() string })
	if ok && keyed.GetIdempotencyKey() != "" {
		return chosen.resume.attempts()
	}
	return attempts{}
}

// reconnect waits for a new connection after a lost one. After the timeout the call proceeds
// without one, because its error says why connecting fails.
func (c *Client) reconnect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconnectTimeout)
	defer cancel()
	for state := c.conn.GetState(); state != connectivity.Ready; state = c.conn.GetState() {
		if state == connectivity.Idle {
			c.conn.Connect()
		}
		if state == connectivity.Shutdown || !c.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// unary makes a unary call, and sends it again after a break if it has an idempotency key.
func unary[Request, Response any](
	ctx context.Context,
	c *Client,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
	options []CallOption,
) (Response, error) {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	attempts := c.attempts(request, options)
	for {
		response, err := method(ctx, request)
		if err == nil {
			return response, nil
		}
		if failure := newError(ctx, err); !attempts.next(ctx, c, failure) {
			return response, failure
		}
	}
}
