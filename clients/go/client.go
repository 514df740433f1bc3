package contextbridge

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// DefaultTarget is where `make run` serves.
const DefaultTarget = "127.0.0.1:50051"

// Before a broken call is sent again, the connection has so long to come back.
const reconnectTimeout = 10 * time.Second

var errTokenInClear = errors.New("contextbridge: a token or key would leave this machine in the clear: use " +
	"WithTLS, or WithInsecureToken where something else encrypts the way")

// Client is a client of a contextbridge server. It holds one connection per address of the server,
// is made to live long, and may be used by many goroutines at once.
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
// "dns:///bridge:50051" or "unix:/run/contextbridge.sock"; empty means DefaultTarget. It connects
// when the first call is made.
//
// It fails for a token or key that would leave this machine in plain text, and for a target or an
// option that gRPC does not take.
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

// Conn returns the connection, for the generated stubs and for health checks. It carries the token.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close ends the calls that are open and closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// begin returns the context of a call, with its deadline.
func (c *Client) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); !limited && c.timeout > 0 {
		return context.WithTimeout(ctx, c.timeout)
	}
	return context.WithCancel(ctx)
}

// attempts returns the tries of a call. A request without a name has one.
func (c *Client) attempts(request any, options []CallOption) attempts {
	chosen := c.call
	for _, option := range options {
		option(&chosen)
	}
	if named, ok := request.(interface{ GetIdempotencyKey() string }); ok && named.GetIdempotencyKey() != "" {
		return chosen.resume.attempts()
	}
	return attempts{}
}

// reconnect waits for a connection after one was lost. Without one in time the call goes ahead: its
// error then says why there is none.
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

// unary makes a call with one answer, and sends it again after a break where it has a name.
func unary[Request, Response any](
	ctx context.Context,
	c *Client,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
	options []CallOption,
) (Response, error) {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	tries := c.attempts(request, options)
	for {
		response, err := method(ctx, request)
		if err == nil {
			return response, nil
		}
		if failure := newError(ctx, err); !tries.getOver(ctx, c, failure) {
			return response, failure
		}
	}
}
