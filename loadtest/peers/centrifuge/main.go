// Command centrifuge-peer measures publishes through Redis with the Go library centrifuge, history on, so that the same
// work can be compared with what Parlor needs for it; and serves history and presence to Parlor's own load program.
// README.md has the workload and how to run it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// Workload is what is asked for. Zero rate: as fast as it goes.
type Workload struct {
	Redis       string        `json:"redis"`
	Channels    int           `json:"channels"`
	Concurrency int           `json:"concurrency"`
	Payload     int           `json:"payload_bytes"`
	HistorySize int           `json:"history_size"`
	HistoryTTL  time.Duration `json:"history_ttl_ns"`
	Idempotent  bool          `json:"idempotent"`
	Rate        float64       `json:"rate_per_second"`
	Warmup      time.Duration `json:"warmup_ns"`
	Duration    time.Duration `json:"duration_ns"`
}

func main() {
	var w Workload
	var asJSON bool
	var work string
	var members int
	flag.StringVar(&w.Redis, "redis", "127.0.0.1:6379", "address of a Redis that nothing else uses (it is flushed)")
	flag.IntVar(&w.Channels, "channels", 100, "channels, published to in turn, all subscribed on the second node")
	flag.IntVar(&w.Concurrency, "concurrency", 16, "publishers, each with one publish in flight")
	flag.IntVar(&w.Payload, "payload", 128, "bytes of each payload")
	flag.IntVar(&w.HistorySize, "history-size", 1000, "publications kept per channel")
	flag.DurationVar(&w.HistoryTTL, "history-ttl", time.Hour, "age at which history ends")
	flag.BoolVar(&w.Idempotent, "idempotent", true, "give each publish an id, remembered for 5 minutes")
	flag.Float64Var(&w.Rate, "rate", 0, "publishes per second in all, due by the clock (0: as fast as it goes)")
	flag.DurationVar(&w.Warmup, "warmup", 2*time.Second, "not counted")
	flag.DurationVar(&w.Duration, "duration", 10*time.Second, "counted")
	flag.BoolVar(&asJSON, "json", false, "print JSON instead of lines")
	flag.StringVar(&work, "work", "publish", "publish (measured here), or history or presence: be a server with filled channels for Parlor's load program")
	flag.IntVar(&members, "members", 10_000, "members of room:0, for presence")
	flag.Parse()
	if w.Channels < 1 || w.Concurrency < 1 || w.Payload < markBytes {
		fmt.Fprintf(os.Stderr, "channels and concurrency start at 1, payload at %d\n", markBytes)
		os.Exit(2)
	}
	if work != "publish" {
		fmt.Fprintln(os.Stderr, serve(w, work, members))
		os.Exit(1)
	}
	report, err := run(w)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(report)
	} else {
		report.print()
	}
	if report.Lost != 0 || report.Refused != 0 {
		os.Exit(1)
	}
}
