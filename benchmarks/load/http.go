package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

func newCall(given settings) (call, error) {
	target, err := url.Parse(given.target)
	if err != nil {
		return nil, err
	}
	var calls map[string]call
	if target.Scheme == "grpc" {
		made, err := newBridge(given, target.Host)
		if err != nil {
			return nil, err
		}
		calls = made.calls()
	} else {
		if given.cancelAfter > 0 {
			return nil, errors.New("a stream over HTTP that is left takes its connection along")
		}
		calls = newGateway(given).calls()
	}
	found, ok := calls[given.workload]
	if !ok {
		return nil, fmt.Errorf("no workload %q at %s", given.workload, given.target)
	}
	return found, nil
}

// whole returns the text that an answer of so many deltas must have.
func whole(deltas int) string {
	var text strings.Builder
	for number := range deltas {
		fmt.Fprintf(&text, " word%02d", number%100)
	}
	return text.String()
}

// gateway calls a server that has upstream's HTTP interfaces: upstream itself, or a peer.
type gateway struct {
	settings
	client *http.Client
	text   string
}

func newGateway(given settings) *gateway {
	transport := &http.Transport{MaxIdleConnsPerHost: given.concurrency, DisableCompression: true}
	return &gateway{given, &http.Client{Transport: transport}, whole(given.deltas)}
}

func (g *gateway) calls() map[string]call {
	generate := "/v1/v1beta/models/" + g.model
	return map[string]call{
		"chat":          g.whole("/v1/context/chat/completions", g.chat(false)),
		"chat-stream":   g.stream("/v1/context/chat/completions", g.chat(true)),
		"openai":        g.whole("/v1/chat/completions", g.chat(false)),
		"openai-stream": g.stream("/v1/chat/completions", g.chat(true)),
		"gemini":        g.whole(generate+":generateContent", g.generate()),
		"gemini-stream": g.stream(generate+":streamGenerateContent?alt=sse", g.generate()),
	}
}

func (g *gateway) chat(stream bool) []byte {
	body := map[string]any{
		"model":    g.model,
		"messages": []map[string]string{{"role": "user", "content": question}},
		"stream":   stream,
	}
	if !strings.HasPrefix(g.workload, "openai") {
		body["context_id"] = g.contextID
	}
	if stream {
		body["stream_options"] = map[string]bool{"include_usage": true}
	}
	return encoded(body)
}

func (g *gateway) generate() []byte {
	parts := []map[string]string{{"text": question}}
	return encoded(map[string]any{"contents": []map[string]any{{"role": "user", "parts": parts}}})
}

func encoded(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return text
}

func (g *gateway) send(ctx context.Context, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.target+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+g.key)
	request.Header.Set("X-Goog-Api-Key", g.key)
	for _, header := range g.headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := g.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, wrong("status", fmt.Sprint(response.StatusCode, " ", string(text)), http.StatusOK)
	}
	return response, nil
}

// piece is what is read of an answer or a chunk, of either surface.
type piece struct {
	Choices []struct {
		Message struct{ Content string }
		Delta   struct{ Content string }
	}
	Candidates []struct {
		Content struct{ Parts []struct{ Text string } }
	}
}

func textOfPiece(text []byte) (string, error) {
	var read piece
	if err := json.Unmarshal(text, &read); err != nil {
		return "", err
	}
	for _, choice := range read.Choices {
		return choice.Message.Content + choice.Delta.Content, nil
	}
	for _, candidate := range read.Candidates {
		return candidate.Content.Parts[0].Text, nil
	}
	return "", nil
}

func (g *gateway) whole(path string, body []byte) call {
	return func(ctx context.Context, _ *outcome) error {
		response, err := g.send(ctx, path, body)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || g.unchecked {
			return err
		}
		return g.check(textOfPiece(answer))
	}
}

func (g *gateway) stream(path string, body []byte) call {
	return func(ctx context.Context, one *outcome) error {
		response, err := g.send(ctx, path, body)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if g.unchecked {
			_, err := io.Copy(io.Discard, response.Body)
			return err
		}
		var text strings.Builder
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !found || bytes.Equal(data, []byte("[DONE]")) {
				continue
			}
			delta, err := textOfPiece(data)
			if err != nil {
				return err
			}
			if delta != "" {
				text.WriteString(delta)
				one.message()
			}
		}
		return g.check(text.String(), lines.Err())
	}
}

func (g *gateway) check(text string, err error) error {
	if err == nil && text != g.text {
		return wrong("text", text, g.text)
	}
	return err
}
