package kubelet

import (
	"bytes"
	"context"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
)

// The limits of a termination message, and of one that is taken from the log.
const (
	messageLimit    = 4096
	messageLogLimit = 2048
	messageLogLines = 80
)

// readMessages reads once what containers left behind when they exited.
func (w *worker) readMessages(ctx context.Context, o lifecycle.Observed) {
	for _, c := range o.Containers {
		if _, read := w.messages[c.ID]; read || c.State != container.StateExited || c.Reason == container.ReasonStartError {
			continue
		}
		message := head(c.TerminationMessagePath)
		spec := containerOf(w.pod, c.Name)
		if message == "" && c.ExitCode != 0 && spec != nil && spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
			message = w.logTail(ctx, c.LogPath)
		}
		w.messages[c.ID] = message
	}
}

func head(path string) string {
	if path == "" {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return "" // the pod's directory is gone already
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, messageLimit))
	if err != nil {
		return ""
	}
	return string(text)
}

// logTail returns the end of a log.
func (w *worker) logTail(ctx context.Context, path string) string {
	if path == "" {
		return ""
	}
	lines := int64(messageLogLines)
	exited := make(chan struct{})
	close(exited)
	var out bytes.Buffer
	if err := w.k.parts.Logs.Read(ctx, path, &corev1.PodLogOptions{TailLines: &lines}, exited, &out); err != nil {
		w.log.Warn("cannot read the log for a termination message", "err", err)
		return ""
	}
	text := out.Bytes()
	if len(text) > messageLogLimit {
		text = text[len(text)-messageLogLimit:]
	}
	return string(text)
}
