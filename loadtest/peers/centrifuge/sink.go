package main

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

// A payload starts with a word to find it by and the moment at which it was due.
var word = []byte("PARLORAT")

const markBytes = 16

func mark(payload []byte, due time.Time) {
	copy(payload, word)
	binary.BigEndian.PutUint64(payload[8:], uint64(due.UnixNano()))
}

// sink is the second node's one client: it counts publications where a socket would be written, and how late they are.
// It is unidirectional, so what it is given are bare pushes.
type sink struct {
	received atomic.Int64
	mutex    sync.Mutex
	late     []lateness
}

type lateness struct {
	due  time.Time
	late time.Duration
}

func (s *sink) take(frame []byte) {
	now := time.Now()
	for {
		i := bytes.Index(frame, word)
		if i < 0 || len(frame) < i+markBytes {
			return
		}
		due := time.Unix(0, int64(binary.BigEndian.Uint64(frame[i+8:])))
		s.mutex.Lock()
		s.late = append(s.late, lateness{due, now.Sub(due)})
		s.mutex.Unlock()
		s.received.Add(1)
		frame = frame[i+markBytes:]
	}
}

func (s *sink) Write(frame []byte) error {
	s.take(frame)
	return nil
}

func (s *sink) WriteMany(frames ...[]byte) error {
	for _, frame := range frames {
		s.take(frame)
	}
	return nil
}

func (s *sink) Name() string                                { return "sink" }
func (s *sink) AcceptProtocol() string                      { return "" }
func (s *sink) Protocol() centrifuge.ProtocolType           { return centrifuge.ProtocolTypeProtobuf }
func (s *sink) ProtocolVersion() centrifuge.ProtocolVersion { return centrifuge.ProtocolVersion2 }
func (s *sink) Unidirectional() bool                        { return true }
func (s *sink) Emulation() bool                             { return false }
func (s *sink) DisabledPushFlags() uint64                   { return 0 }
func (s *sink) PingPongConfig() centrifuge.PingPongConfig {
	return centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}
}
func (s *sink) Close(centrifuge.Disconnect) error { return nil }
