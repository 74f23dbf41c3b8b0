package main

import (
	"fmt"
	"slices"
	"time"
)

// Report is what one run saw.
type Report struct {
	Workload           Workload    `json:"workload"`
	Published          int64       `json:"published"`
	PublishesPerSecond float64     `json:"publishes_per_second"`
	RedisCPUPer1000    float64     `json:"redis_cpu_seconds_per_1000_publishes"`
	RedisCores         float64     `json:"redis_cores"`
	PublishesPerRedisS float64     `json:"publishes_per_redis_cpu_second"`
	OwnCPUPer1000      float64     `json:"own_cpu_seconds_per_1000_publishes"`
	CommandsPerPublish float64     `json:"redis_commands_per_publish"`
	Publish            Percentiles `json:"publish_ms"`
	PublishToReceive   Percentiles `json:"publish_to_receive_ms"`
	Refused            int64       `json:"refused"`
	Lost               int64       `json:"acknowledged_but_not_received"`
}

// Percentiles are in milliseconds.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func newReport(w Workload, before, after at, l *load, s *sink) Report {
	seconds := after.when.Sub(before.when).Seconds()
	published := after.published - before.published
	thousands := float64(published) / 1000
	cpu := after.redisCPU - before.redisCPU
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var late []time.Duration
	for _, each := range s.late {
		if each.due.After(before.when) && each.due.Before(after.when) {
			late = append(late, each.late)
		}
	}
	return Report{
		Workload:           w,
		Published:          published,
		PublishesPerSecond: float64(published) / seconds,
		RedisCPUPer1000:    cpu / thousands,
		RedisCores:         cpu / seconds,
		PublishesPerRedisS: float64(published) / cpu,
		OwnCPUPer1000:      (after.ownCPU - before.ownCPU) / thousands,
		CommandsPerPublish: float64(after.commands-before.commands) / float64(published),
		Publish:            percentiles(l.took),
		PublishToReceive:   percentiles(late),
		Refused:            l.refused.Load(),
		Lost:               l.done.Load() - s.received.Load(),
	}
}

func percentiles(all []time.Duration) Percentiles {
	if len(all) == 0 {
		return Percentiles{}
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1e3 }
	return Percentiles{ms(0.5), ms(0.99), ms(1)}
}

func (r Report) print() {
	fmt.Printf("%d channels, %d publishers, %d B, history %d for %s, idempotent %t, rate %g\n",
		r.Workload.Channels, r.Workload.Concurrency, r.Workload.Payload, r.Workload.HistorySize, r.Workload.HistoryTTL, r.Workload.Idempotent, r.Workload.Rate)
	fmt.Printf("  publishes/s                         %10.0f\n", r.PublishesPerSecond)
	fmt.Printf("  Redis CPU s per 1,000 publishes     %10.4f   (%.2f cores, %.0f publishes per CPU second)\n", r.RedisCPUPer1000, r.RedisCores, r.PublishesPerRedisS)
	fmt.Printf("  own CPU s per 1,000 publishes       %10.4f   (both nodes and the load)\n", r.OwnCPUPer1000)
	fmt.Printf("  publish, ms             p50 %8.2f   p99 %8.2f   max %8.2f\n", r.Publish.P50, r.Publish.P99, r.Publish.Max)
	fmt.Printf("  publish to receive, ms  p50 %8.2f   p99 %8.2f   max %8.2f\n", r.PublishToReceive.P50, r.PublishToReceive.P99, r.PublishToReceive.Max)
	fmt.Printf("  refused %d, acknowledged but not received %d, Redis commands per publish %.2f\n", r.Refused, r.Lost, r.CommandsPerPublish)
}
