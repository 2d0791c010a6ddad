package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// forwardProtocols are the subprotocols by which ports are forwarded over channels.
var forwardProtocols = []string{"v4.channel.k8s.io", "v4.base64.channel.k8s.io"}

// maxForwardedPorts is how many ports fit into channels that a base64 message can name by a digit.
const maxForwardedPorts = 5

// forwardChannels forwards the ports of the query, one connection to each, over a WebSocket: of
// the i-th port channel 2i has the data and channel 2i+1 the error. The first message of each is the
// port, in two bytes, the lower one first.
func forwardChannels(w http.ResponseWriter, r *http.Request, dial dialer) {
	ports, err := queriedPorts(r.URL.Query()["ports"])
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	conn := upgrade(w, r, forwardProtocols)
	if conn == nil {
		return
	}
	defer conn.Close()
	c := newChannels(conn)
	for i, port := range ports {
		for channel := range 2 {
			if c.send(byte(2*i+channel), binary.LittleEndian.AppendUint16(nil, port)) != nil {
				return
			}
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var reading, serving sync.WaitGroup
	feeds := make([]*io.PipeWriter, len(ports))
	for i, port := range ports {
		data, feed := io.Pipe()
		feeds[i] = feed
		serving.Go(func() {
			defer data.Close() // what still comes for a connection that has ended shall not block the others
			forwardChannel(ctx, port, c, byte(2*i), data, dial)
		})
	}
	reading.Go(func() {
		defer cancel() // the client is gone
		feedPorts(c, feeds)
	})
	serving.Wait()
	c.leave(&reading)
}

// queriedPorts reads what a client asks for: "ports=80&ports=443,8080".
func queriedPorts(values []string) ([]uint16, error) {
	var ports []uint16
	for _, text := range strings.Split(strings.Join(values, ","), ",") {
		port, err := parsePort(text)
		if err != nil {
			return nil, fmt.Errorf("query parameter \"ports\": %w", err)
		}
		ports = append(ports, port)
	}
	if len(ports) > maxForwardedPorts {
		return nil, fmt.Errorf("query parameter \"ports\": %d ports, and no more than %d can be forwarded over one WebSocket", len(ports), maxForwardedPorts)
	}
	return ports, nil
}

// feedPorts hands the client's data on until the client is gone.
func feedPorts(c *channels, feeds []*io.PipeWriter) {
	defer func() {
		for _, f := range feeds {
			f.Close()
		}
	}()
	for {
		channel, data, err := c.receive()
		if err != nil {
			return
		}
		if i := int(channel) / 2; channel%2 == 0 && i < len(feeds) {
			_, _ = feeds[i].Write(data) // a connection that takes no more is no error
		}
	}
}

// forwardChannel serves one port, whose data comes from and whose channel is the given one.
func forwardChannel(ctx context.Context, port uint16, c *channels, channel byte, from *io.PipeReader, dial dialer) {
	conn, err := forwardTo(ctx, port, dial)
	if err != nil {
		_ = c.send(channel+1, []byte(err.Error()))
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client := struct {
		io.Reader
		io.Writer
	}{from, channelWriter{c, channel}}
	join(conn, client, from.Close) // channels cannot be half closed: when the pod has said all, it is over
}
