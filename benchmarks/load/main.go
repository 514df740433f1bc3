// Command load makes calls of one kind at a server, many at once, checks every answer, and prints
// what it saw as JSON. It speaks the bridge's contract, and HTTP to what has none.
//
// A call that fails, or whose answer is not what was to come, is counted as failed, and the first
// failure's text is printed: a figure with failures is no figure.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// settings are what the command line says.
type settings struct {
	target      string
	workload    string
	model       string
	deltas      int
	contextID   string
	key         string
	connections int
	concurrency int
	seconds     float64
	warmup      float64
	count       int64
	ramp        float64
	patience    float64
	cancelAfter int
	announce    bool
	cached      bool
	unchecked   bool
	headers     []string
}

func main() {
	var given settings
	flag.StringVar(&given.target, "target", "", "grpc://HOST:PORT, or the http:// URL of a chat route's prefix")
	flag.StringVar(&given.workload, "workload", "chat", "kind of call; see workloads")
	flag.StringVar(&given.model, "model", "bench-64", "model that is asked")
	flag.IntVar(&given.deltas, "deltas", 64, "deltas that an answer must have")
	flag.StringVar(&given.contextID, "context", "ctx-bench", "context of chats")
	flag.StringVar(&given.key, "key", "sk-bench", "upstream's or the gateway's key, over HTTP")
	flag.IntVar(&given.connections, "connections", 4, "gRPC connections that calls are spread over")
	flag.IntVar(&given.concurrency, "concurrency", 1, "callers at once")
	flag.Float64Var(&given.seconds, "seconds", 2, "how long to call, after the warm-up")
	flag.Float64Var(&given.warmup, "warmup", 0.3, "seconds before calls are counted")
	flag.Int64Var(&given.count, "count", 0, "make so many calls, instead of for a time")
	flag.Float64Var(&given.ramp, "ramp", 0, "seconds over which the callers begin, one after the other")
	flag.Float64Var(&given.patience, "patience", 150, "seconds until all calls are given up, which is a failure")
	flag.IntVar(&given.cancelAfter, "cancel-after", 0, "leave each stream after so many messages (gRPC)")
	flag.BoolVar(&given.announce, "announce", false, "print a line when every caller's first stream is open")
	flag.BoolVar(&given.cached, "cached", false, "let the response cache answer, whatever model it was")
	flag.BoolVar(&given.unchecked, "unchecked", false, "read answers without looking into them (HTTP)")
	flag.Func("header", "header of HTTP requests, `NAME: VALUE`; may be repeated", func(text string) error {
		given.headers = append(given.headers, text)
		return nil
	})
	flag.Parse()
	call, err := newCall(given)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(run(given, call)); err != nil {
		log.Fatal(err)
	}
}

// run lets the callers call, each one call after the other, and sums up.
func run(given settings, call call) figures {
	start := time.Now()
	counted := start.Add(seconds(given.warmup))
	end := counted.Add(seconds(given.seconds))
	if given.count > 0 {
		counted = start
	}
	var begun, made, open atomic.Int64
	more := func() bool {
		if given.count > 0 {
			return begun.Add(1) <= given.count
		}
		return time.Now().Before(end)
	}
	opened := func() {
		if open.Add(1) == int64(given.concurrency) && given.announce {
			fmt.Printf("{\"open\":%d}\n", given.concurrency)
		}
	}
	// No deadline, which servers would be told and have to watch.
	ctx, giveUp := context.WithCancel(context.Background())
	defer time.AfterFunc(seconds(given.patience), giveUp).Stop()
	seen := make([]tally, given.concurrency)
	var callers sync.WaitGroup
	for number := range seen {
		callers.Add(1)
		go func() {
			defer callers.Done()
			time.Sleep(seconds(given.ramp * float64(number) / float64(given.concurrency)))
			for opened := opened; ctx.Err() == nil && more(); opened = nil {
				one := outcome{number: number, opened: opened, started: time.Now()}
				err := call(ctx, &one)
				made.Add(1)
				if one.ended = time.Now(); one.started.After(counted) || given.count > 0 {
					seen[number].add(one, err)
				}
			}
		}()
	}
	callers.Wait()
	all := sum(seen, time.Since(counted))
	all.Made = made.Load()
	return all
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

// outcome is what one call saw.
type outcome struct {
	number   int
	opened   func()
	started  time.Time
	first    time.Time
	last     time.Time
	ended    time.Time
	messages int
	gaps     []time.Duration
}

// message notes that a message with text has come.
func (one *outcome) message() {
	now := time.Now()
	if one.messages == 0 {
		one.first = now
		if one.opened != nil {
			one.opened()
		}
	} else {
		one.gaps = append(one.gaps, now.Sub(one.last))
	}
	one.last = now
	one.messages++
}

// wrong says that an answer is not what was to come.
func wrong(what string, got, want any) error {
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}
