package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

// serve fills Redis with what is to be read, says where it listens, and answers history and presence over the WebSocket
// in Centrifugo's JSON protocol until it is killed. Who asks is Parlor's own load program, so both are asked the same.
func serve(w Workload, work string, members int) error {
	watch, err := dialRedis(w.Redis)
	if err != nil {
		return err
	}
	if _, err := watch.do("FLUSHALL"); err != nil {
		return err
	}
	node, err := startNode(w, nil)
	if err != nil {
		return err
	}
	if work == "presence" {
		err = fillPresence(node, w, members)
	} else {
		err = fillHistory(node, w)
	}
	if err != nil {
		return err
	}
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnHistory(func(_ centrifuge.HistoryEvent, answer centrifuge.HistoryCallback) {
			answer(centrifuge.HistoryReply{}, nil)
		})
		client.OnPresence(func(_ centrifuge.PresenceEvent, answer centrifuge.PresenceCallback) {
			answer(centrifuge.PresenceReply{}, nil)
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	fmt.Println("listening on", listener.Addr())
	return http.Serve(listener, mux)
}

// fillHistory publishes to every channel as much as it keeps.
func fillHistory(node *centrifuge.Node, w Workload) error {
	payload := []byte(`"` + strings.Repeat("x", w.Payload-2) + `"`)
	for channel := 0; channel < w.Channels; channel++ {
		for n := 0; n < w.HistorySize; n++ {
			if _, err := node.Publish("room:"+strconv.Itoa(channel), payload, centrifuge.WithHistory(w.HistorySize, w.HistoryTTL)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillPresence enters so many clients, each with a user of its own, into one channel.
func fillPresence(node *centrifuge.Node, w Workload, members int) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: w.Redis})
	if err != nil {
		return err
	}
	manager, err := centrifuge.NewRedisPresenceManager(node, centrifuge.RedisPresenceManagerConfig{
		Shards: []*centrifuge.RedisShard{shard}, PresenceTTL: time.Hour,
	})
	if err != nil {
		return err
	}
	node.SetPresenceManager(manager)
	for n := 0; n < members; n++ {
		info := &centrifuge.ClientInfo{ClientID: fmt.Sprintf("00000000-0000-0000-0000-%012d", n), UserID: "u" + strconv.Itoa(n)}
		if err := manager.AddPresence("room:0", info.ClientID, info); err != nil {
			return err
		}
	}
	return nil
}
