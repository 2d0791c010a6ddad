package managedfields

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// plainText reports whether s stands in JSON as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf-1 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// appendText appends s as it stands between the quotes of a JSON string.
func appendText(buf []byte, s string) []byte {
	if plainText(s) {
		return append(buf, s...)
	}
	return appendEscaped(buf, s, false)
}

// appendQuotedTwice appends s as a JSON string inside a JSON string.
func appendQuotedTwice(buf []byte, s string) []byte {
	buf = append(buf, `\"`...)
	if plainText(s) {
		buf = append(buf, s...)
	} else {
		buf = appendText(buf, string(appendEscaped(nil, s, true)))
	}
	return append(buf, `\"`...)
}

// appendEscaped is what the library makes of s: inside values it also escapes what HTML
// would not like.
func appendEscaped(buf []byte, s string, html bool) []byte {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(html)
	if err := encoder.Encode(s); err != nil {
		panic("managedfields: a string that has no JSON form: " + err.Error())
	}
	text := bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
	return append(buf, text[1:len(text)-1]...)
}
