package env

import "strings"

// Expand replaces $(NAME) by the variable's value. $$ stands for a dollar sign, so that
// $$(NAME) stays $(NAME); a name that is not known is left as it stands.
func Expand(s string, lookup func(name string) (string, bool)) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		switch next := s[i+1]; next {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i+2:], ')')
			if end < 0 {
				out.WriteString("$(")
				i++
				continue
			}
			name := s[i+2 : i+2+end]
			if v, ok := lookup(name); ok {
				out.WriteString(v)
			} else {
				out.WriteString("$(" + name + ")")
			}
			i += 2 + end
		default:
			out.WriteByte('$')
			out.WriteByte(next)
			i++
		}
	}
	return out.String()
}

// ExpandAll expands words with variables given as NAME=value.
func ExpandAll(words, vars []string) []string {
	if len(words) == 0 {
		return nil
	}
	values := make(map[string]string, len(vars))
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = Expand(w, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	}
	return out
}
