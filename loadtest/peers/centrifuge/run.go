package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
)

// run starts two nodes over one Redis, publishes on the first and receives on the second.
func run(w Workload) (Report, error) {
	watch, err := dialRedis(w.Redis)
	if err != nil {
		return Report{}, err
	}
	if _, err := watch.do("FLUSHALL"); err != nil {
		return Report{}, err
	}
	names := make([]string, w.Channels)
	for i := range names {
		names[i] = "room:" + strconv.Itoa(i)
	}
	publisher, err := startNode(w, nil)
	if err != nil {
		return Report{}, err
	}
	receiver, err := startNode(w, names)
	if err != nil {
		return Report{}, err
	}
	sink := &sink{}
	client, closeClient, err := centrifuge.NewClient(context.Background(), receiver, sink)
	if err != nil {
		return Report{}, err
	}
	client.Connect(centrifuge.ConnectRequest{})
	defer func() { _ = closeClient() }()
	time.Sleep(500 * time.Millisecond) // Both nodes' subscriptions settle; nothing is measured yet.

	load := &load{w: w, node: publisher, names: names, started: time.Now()}
	stop := load.start()
	time.Sleep(w.Warmup)
	before, err := sample(watch, load, sink)
	if err != nil {
		return Report{}, err
	}
	time.Sleep(w.Duration)
	after, err := sample(watch, load, sink)
	if err != nil {
		return Report{}, err
	}
	stop()
	for end := time.Now().Add(5 * time.Second); sink.received.Load() < load.done.Load() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // The last ones are on their way.
	}
	report := newReport(w, before, after, load, sink)
	_ = receiver.Shutdown(context.Background())
	_ = publisher.Shutdown(context.Background())
	return report, nil
}

func startNode(w Workload, subscribe []string) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:           centrifuge.LogLevelError,
		LogHandler:         func(e centrifuge.LogEntry) { fmt.Println(e.Message, e.Fields) },
		ClientQueueMaxSize: 256 << 20, // The receiver is this process: it must not be closed as slow.
		ClientChannelLimit: w.Channels + 1,
	})
	if err != nil {
		return nil, err
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: w.Redis})
	if err != nil {
		return nil, err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return nil, err
	}
	node.SetBroker(broker)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		subscriptions := make(map[string]centrifuge.SubscribeOptions, len(subscribe))
		for _, name := range subscribe {
			subscriptions[name] = centrifuge.SubscribeOptions{EnableRecovery: true}
		}
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "receiver"},
			Subscriptions: subscriptions,
		}, nil
	})
	return node, node.Run()
}

// load publishes until it is stopped.
type load struct {
	w       Workload
	node    *centrifuge.Node
	names   []string
	started time.Time
	next    atomic.Int64
	done    atomic.Int64
	refused atomic.Int64
	mutex   sync.Mutex
	took    []time.Duration
}

func (l *load) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var publishers sync.WaitGroup
	for i := 0; i < l.w.Concurrency; i++ {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			l.publish(ctx)
		}()
	}
	return func() {
		cancel()
		publishers.Wait()
	}
}

func (l *load) publish(ctx context.Context) {
	took := make([]time.Duration, 0, 1<<16)
	payload := make([]byte, l.w.Payload)
	for ctx.Err() == nil {
		n := l.next.Add(1)
		due := l.due(n)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		mark(payload, due)
		options := []centrifuge.PublishOption{centrifuge.WithHistory(l.w.HistorySize, l.w.HistoryTTL)}
		if l.w.Idempotent {
			options = append(options, centrifuge.WithIdempotencyKey("p"+strconv.FormatInt(n, 10)), centrifuge.WithIdempotentResultTTL(5*time.Minute))
		}
		if _, err := l.node.Publish(l.names[int(n)%len(l.names)], payload, options...); err != nil {
			l.refused.Add(1)
			continue
		}
		l.done.Add(1)
		if due.Sub(l.started) >= l.w.Warmup {
			took = append(took, time.Since(due))
		}
	}
	l.mutex.Lock()
	l.took = append(l.took, took...)
	l.mutex.Unlock()
}

// due is the n-th publish's moment: by the clock when a rate is asked for, so that a stall is not hidden.
func (l *load) due(n int64) time.Time {
	if l.w.Rate <= 0 {
		return time.Now()
	}
	return l.started.Add(time.Duration(float64(n) / l.w.Rate * float64(time.Second)))
}

// at is one look at all counters.
type at struct {
	when      time.Time
	published int64
	received  int64
	redisCPU  float64
	ownCPU    float64
	commands  int64
}

func sample(watch *redis, l *load, s *sink) (at, error) {
	cpu, commands, err := watch.cpu()
	if err != nil {
		return at{}, err
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return at{}, err
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return at{time.Now(), l.done.Load(), s.received.Load(), cpu, seconds(own.Utime) + seconds(own.Stime), commands}, nil
}
