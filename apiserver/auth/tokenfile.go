package auth

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ParseTokenFile reads static tokens, one per line: token,user,uid,"group1,group2". The
// groups may be left out; lines that start with # are comments.
func ParseTokenFile(r io.Reader) (map[string]User, error) {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord, lines.Comment, lines.TrimLeadingSpace = -1, '#', true
	out := map[string]User{}
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the token file: %w", err)
		}
		line, _ := lines.FieldPos(0)
		if len(record) < 3 || record[0] == "" || record[1] == "" {
			return nil, fmt.Errorf("token file, line %d: want token,user,uid[,groups]", line)
		}
		if _, twice := out[record[0]]; twice {
			return nil, fmt.Errorf("token file, line %d: this token stands twice", line)
		}
		user := User{Name: record[1], UID: record[2]}
		if len(record) > 3 {
			for g := range strings.SplitSeq(record[3], ",") {
				if g = strings.TrimSpace(g); g != "" {
					user.Groups = append(user.Groups, g)
				}
			}
		}
		out[record[0]] = user
	}
}
