package usage

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxLine bounds one line of what a node tells.
const maxLine = 16 << 10

// sample is one line of the text format in which nodes tell what they use.
type sample struct {
	name   string
	labels map[string]string
	value  float64
	at     time.Time // zero: not said
}

// parse calls f for each sample of the text.
func parse(r io.Reader, f func(sample)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseLine(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		f(s)
	}
	return lines.Err()
}

// parseLine reads `name{label="value",…} 1.5 1700000000000`; labels and time may be missing.
func parseLine(line string) (s sample, err error) {
	rest := line
	if at := strings.IndexAny(line, "{ \t"); at >= 0 {
		s.name, rest = line[:at], line[at:]
	}
	if s.name == "" {
		return s, fmt.Errorf("no name in %q", line)
	}
	if strings.HasPrefix(rest, "{") {
		if s.labels, rest, err = parseLabels(rest[1:]); err != nil {
			return s, fmt.Errorf("labels of %s: %w", s.name, err)
		}
	}
	words := strings.Fields(rest)
	if len(words) == 0 || len(words) > 2 {
		return s, fmt.Errorf("no value of %s in %q", s.name, rest)
	}
	if s.value, err = strconv.ParseFloat(words[0], 64); err != nil {
		return s, fmt.Errorf("value of %s: %w", s.name, err)
	}
	if len(words) == 2 {
		ms, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return s, fmt.Errorf("time of %s: %w", s.name, err)
		}
		s.at = time.UnixMilli(ms)
	}
	return s, nil
}

// parseLabels reads what stands behind the opening brace, and returns what stands behind the closing one.
func parseLabels(text string) (labels map[string]string, rest string, err error) {
	labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, ", \t")
		if after, done := strings.CutPrefix(text, "}"); done {
			return labels, after, nil
		}
		name, after, ok := strings.Cut(text, "=")
		if !ok || !strings.HasPrefix(after, `"`) {
			return nil, "", fmt.Errorf("no value in %q", text)
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, "", fmt.Errorf("%q: %w", after, err)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, "", fmt.Errorf("%q: %w", quoted, err)
		}
		labels[strings.TrimSpace(name)], text = value, after[len(quoted):]
	}
}
