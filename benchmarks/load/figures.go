package main

import (
	"slices"
	"time"
)

// tally is what one caller saw.
type tally struct {
	calls   []time.Duration
	firsts  []time.Duration
	gaps    []time.Duration
	texts   int
	failed  int
	failure string
}

func (seen *tally) add(one outcome, err error) {
	if err != nil {
		seen.failed++
		seen.failure = err.Error()
		return
	}
	seen.calls = append(seen.calls, one.ended.Sub(one.started))
	seen.texts += one.messages
	seen.gaps = append(seen.gaps, one.gaps...)
	if one.messages > 0 {
		seen.firsts = append(seen.firsts, one.first.Sub(one.started))
	}
}

// figures are what all callers saw. Times are in milliseconds. Made counts the calls of the warm-up
// too: it is what a server's work is divided by.
type figures struct {
	Made     int64   `json:"made"`
	Calls    int     `json:"calls"`
	Failed   int     `json:"failed"`
	Failure  string  `json:"failure,omitempty"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"rate"`
	Messages int     `json:"messages"`
	Latency  spread  `json:"latency"`
	First    spread  `json:"first"`
	Gap      spread  `json:"gap"`
}

type spread struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func sum(seen []tally, taken time.Duration) figures {
	var all tally
	for _, one := range seen {
		all.calls = append(all.calls, one.calls...)
		all.firsts = append(all.firsts, one.firsts...)
		all.gaps = append(all.gaps, one.gaps...)
		all.texts += one.texts
		all.failed += one.failed
		if one.failure != "" {
			all.failure = one.failure
		}
	}
	return figures{
		Calls:    len(all.calls),
		Failed:   all.failed,
		Failure:  all.failure,
		Seconds:  taken.Seconds(),
		Rate:     float64(len(all.calls)) / taken.Seconds(),
		Messages: all.texts,
		Latency:  spreadOf(all.calls),
		First:    spreadOf(all.firsts),
		Gap:      spreadOf(all.gaps),
	}
}

func spreadOf(times []time.Duration) spread {
	if len(times) == 0 {
		return spread{}
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		return times[int(share*float64(len(times)-1)+0.5)].Seconds() * 1000
	}
	return spread{at(0.5), at(0.9), at(0.99), at(1)}
}
