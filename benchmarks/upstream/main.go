// Command upstream stands in for an AI gateway that is never the bottleneck: it answers every
// surface that is measured, does next to no work for an answer, and sends it at the pace that the
// model's name says.
//
// A model is called `bench-N` for answers of N deltas, or `bench-N-PACE` (such as `bench-64-20ms`)
// for one delta after the other at that pace. Each delta is a chunk of its own; without a pace a few
// chunks leave in one write, as those of a server do that has more to say than it is asked to wait.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	server := http.Server{Handler: routes(), ConnContext: withConnection}
	log.Fatal(server.Serve(holding{listener}))
}

// connection is one whose writes can be held, to leave in one.
type connection struct {
	net.Conn
	isHolding bool
	held      []byte
}

func (c *connection) Write(data []byte) (int, error) {
	if !c.isHolding {
		return c.Conn.Write(data)
	}
	c.held = append(c.held, data...)
	return len(data), nil
}

// release sends what was held.
func (c *connection) release() error {
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	return err
}

type holding struct{ net.Listener }

func (l holding) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	return &connection{Conn: accepted}, err
}

type connectionKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

func connectionOf(request *http.Request) *connection {
	return request.Context().Value(connectionKey{}).(*connection)
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/context/create", create)
	mux.HandleFunc("POST /v1/context/chat/completions", chat)
	mux.HandleFunc("POST /v1/chat/completions", chat)
	mux.HandleFunc("POST /v1/v1beta/models/{call}", generate)
	mux.HandleFunc("GET /seen", seen)
	return mux
}

// answers counts the answers that were begun, and streams those that are open now.
var answers, streams atomic.Int64

// seen tells the driver what has come through: that hits do not, and that what callers leave ends.
func seen(response http.ResponseWriter, _ *http.Request) {
	answer(response, fmt.Sprintf(`{"answers":%d,"streams":%d}`, answers.Load(), streams.Load()))
}

// events keeps the events of each stream that was asked for, by surface and model.
var events sync.Map

func eventsOf(surface string, wanted asked, make func(asked) []string) []string {
	key := surface + wanted.Model
	if kept, ok := events.Load(key); ok {
		return kept.([]string)
	}
	made := make(wanted)
	for number, event := range made {
		made[number] = "data: " + event + "\n\n"
	}
	kept, _ := events.LoadOrStore(key, made)
	return kept.([]string)
}

// asked is what an answer depends on.
type asked struct {
	Model  string `json:"model"`
	Stream bool   `json:"stream"`
	deltas int
	pace   time.Duration
}

func read(request *http.Request, model string) (asked, error) {
	var wanted asked
	answers.Add(1)
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = json.Unmarshal(body, &wanted)
	}
	if err != nil {
		return wanted, err
	}
	if model != "" {
		wanted.Model = model
	}
	parts := strings.Split(wanted.Model[strings.LastIndex(wanted.Model, "/")+1:], "-")
	if len(parts) < 2 || parts[0] != "bench" {
		return wanted, errors.New("no such model")
	}
	if wanted.deltas, err = strconv.Atoi(parts[1]); err == nil && len(parts) > 2 {
		wanted.pace, err = time.ParseDuration(parts[2])
	}
	return wanted, err
}

func create(response http.ResponseWriter, request *http.Request) {
	wanted, err := read(request, "")
	if err != nil {
		fail(response, err)
		return
	}
	answer(response, fmt.Sprintf(`{"id":"ctx-20260101000000-%05x","model":"%s","mode":"common_prefix",`+
		`"ttl":86400,"usage":{"prompt_tokens":64,"completion_tokens":0,"total_tokens":64}}`,
		time.Now().UnixNano()&0xfffff, wanted.Model))
}

const usage = `{"prompt_tokens":64,"completion_tokens":64,"total_tokens":128,` +
	`"prompt_tokens_details":{"cached_tokens":48}}`

func chat(response http.ResponseWriter, request *http.Request) {
	wanted, err := read(request, "")
	if err != nil {
		fail(response, err)
		return
	}
	if wanted.Stream {
		stream(response, request, eventsOf("chat ", wanted, chunks), wanted.pace)
		return
	}
	message := `{"index":0,"message":{"role":"assistant","content":"` + whole(wanted.deltas) +
		`"},"finish_reason":"stop"}`
	answer(response, completion(wanted, "", message, usage))
}

func completion(wanted asked, kind, choice, usage string) string {
	return fmt.Sprintf(`{"id":"chatcmpl-bench","object":"chat.completion%s","created":1790000000,`+
		`"model":"%s","choices":[%s],"usage":%s}`, kind, wanted.Model, choice, usage)
}

func chunks(wanted asked) []string {
	chunk := func(delta, reason string) string {
		choice := fmt.Sprintf(`{"index":0,"delta":%s,"finish_reason":%s}`, delta, reason)
		return completion(wanted, ".chunk", choice, "null")
	}
	events := make([]string, 0, wanted.deltas+4)
	events = append(events, chunk(`{"role":"assistant","content":""}`, "null"))
	for number := range wanted.deltas {
		events = append(events, chunk(`{"content":"`+word(number)+`"}`, "null"))
	}
	return append(events, chunk("{}", `"stop"`), completion(wanted, ".chunk", "", usage), "[DONE]")
}

const usageMetadata = `{"promptTokenCount":64,"candidatesTokenCount":64,"totalTokenCount":128,` +
	`"cachedContentTokenCount":48}`

func generate(response http.ResponseWriter, request *http.Request) {
	model, method, _ := strings.Cut(request.PathValue("call"), ":")
	wanted, err := read(request, model)
	if err != nil {
		fail(response, err)
		return
	}
	if method == "streamGenerateContent" {
		stream(response, request, eventsOf("generate ", wanted, candidates), wanted.pace)
		return
	}
	answer(response, candidate(wanted, whole(wanted.deltas), finished))
}

const finished = `,"finishReason":"STOP"`

func candidate(wanted asked, text, reason string) string {
	return fmt.Sprintf(`{"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"},`+
		`"index":0%s}],"usageMetadata":%s,"modelVersion":"%s","responseId":"bench"}`,
		text, reason, usageMetadata, wanted.Model)
}

func candidates(wanted asked) []string {
	events := make([]string, wanted.deltas)
	for number := range events {
		events[number] = candidate(wanted, word(number), "")
	}
	events[len(events)-1] = candidate(wanted, word(wanted.deltas-1), finished)
	return events
}

// word returns a delta's text, a token of a usual length.
func word(number int) string { return fmt.Sprintf(" word%02d", number%100) }

func whole(deltas int) string {
	var text strings.Builder
	for number := range deltas {
		text.WriteString(word(number))
	}
	return text.String()
}

func answer(response http.ResponseWriter, body string) {
	response.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(response, body)
}

func fail(response http.ResponseWriter, err error) {
	http.Error(response, `{"error":{"message":"`+err.Error()+`"}}`, http.StatusBadRequest)
}

// together is how many events without a pace leave in one write. A write costs more than all else
// that an event does here: with one for each, upstream would be no faster than a few bridges.
const together = 8

// stream sends events, each in a chunk of its own, until the client has gone.
func stream(response http.ResponseWriter, request *http.Request, events []string, pace time.Duration) {
	streams.Add(1)
	defer streams.Add(-1)
	response.Header().Set("Content-Type", "text/event-stream")
	if pace > 0 {
		sendPaced(response, request, events, pace)
		return
	}
	conn := connectionOf(request)
	conn.isHolding = true
	defer func() { conn.isHolding = false }()
	for each := range slices.Chunk(events, together) {
		if send(response, each) != nil || conn.release() != nil {
			return
		}
	}
}

func sendPaced(response http.ResponseWriter, request *http.Request, events []string, pace time.Duration) {
	for number := range events {
		if number > 0 {
			select {
			case <-time.After(pace):
			case <-request.Context().Done():
				return
			}
		}
		if send(response, events[number:number+1]) != nil {
			return
		}
	}
}

func send(response http.ResponseWriter, events []string) error {
	controller := http.NewResponseController(response)
	for _, event := range events {
		if _, err := io.WriteString(response, event); err != nil {
			return err
		}
		if err := controller.Flush(); err != nil {
			return err
		}
	}
	return nil
}
