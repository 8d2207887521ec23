package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding/json forgets where a value stood, lets a repeated key win silently
// and matches keys in any case. A file that people write by hand deserves a
// line number and no guessing, so this is a small parser of our own
// (RFC 8259), whose values remember their line.

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// value is one JSON value and the line it begins on.
type value struct {
	kind  kind
	line  int
	str   string
	num   float64
	items []value
	keys  []string // of an object, beside items
}

// maxNesting keeps a hostile file from exhausting the stack.
const maxNesting = 32

type parser struct {
	b    []byte
	pos  int
	line int
}

// parseJSON parses one whole document.
func parseJSON(b []byte) (value, error) {
	p := parser{b: b, line: 1}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	if p.space(); p.pos < len(p.b) {
		return value{}, p.errorf("unexpected %q after the document", p.b[p.pos])
	}
	return v, nil
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", p.line, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.b) {
		switch p.b[p.pos] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		default:
			return
		}
		p.pos++
	}
}

// next skips space and returns the byte there without taking it, 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.pos == len(p.b) {
		return 0
	}
	return p.b[p.pos]
}

func (p *parser) value(depth int) (value, error) {
	c := p.next()
	v := value{line: p.line}
	switch {
	case depth > maxNesting:
		return v, p.errorf("nested deeper than %d", maxNesting)
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		v.kind, v.str = kindString, s
		return v, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for word, k := range map[string]kind{"null": kindNull, "true": kindBool, "false": kindBool} {
		if strings.HasPrefix(string(p.b[p.pos:min(len(p.b), p.pos+len(word))]), word) {
			p.pos += len(word)
			v.kind = k
			return v, nil
		}
	}
	if p.pos == len(p.b) {
		return v, p.errorf("the document ends too early")
	}
	return v, p.errorf("unexpected %q", c)
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: kindObject, line: p.line}
	p.pos++
	seen := map[string]bool{}
	if p.next() == '}' {
		p.pos++
		return v, nil
	}
	for {
		if p.next() != '"' {
			return v, p.errorf("a field name in quotes is expected")
		}
		key, err := p.string()
		if err != nil {
			return v, err
		}
		if seen[key] {
			return v, p.errorf("field %q occurs twice", key)
		}
		seen[key] = true
		if p.next() != ':' {
			return v, p.errorf("a colon is expected after %q", key)
		}
		p.pos++
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.keys, v.items = append(v.keys, key), append(v.items, item)
		switch p.next() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return v, nil
		default:
			return v, p.errorf("a comma or } is expected after the value of %q", key)
		}
	}
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: kindArray, line: p.line}
	p.pos++
	if p.next() == ']' {
		p.pos++
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
		switch p.next() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return v, nil
		default:
			return v, p.errorf("a comma or ] is expected")
		}
	}
}

func (p *parser) number() (value, error) {
	v := value{kind: kindNumber, line: p.line}
	start := p.pos
	digits := func() int {
		n := 0
		for p.pos < len(p.b) && p.b[p.pos] >= '0' && p.b[p.pos] <= '9' {
			p.pos++
			n++
		}
		return n
	}
	at := func(set string) bool { return p.pos < len(p.b) && strings.IndexByte(set, p.b[p.pos]) >= 0 }
	if at("-") {
		p.pos++
	}
	zero := at("0")
	n := digits()
	ok := n > 0 && (!zero || n == 1)
	if at(".") {
		p.pos++
		ok = digits() > 0 && ok
	}
	if at("eE") {
		p.pos++
		if at("+-") {
			p.pos++
		}
		ok = digits() > 0 && ok
	}
	text := string(p.b[start:p.pos])
	if !ok {
		return v, p.errorf("%q is not a number", text)
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return v, p.errorf("%s is not a finite number", text)
	}
	v.num, v.str = x, text
	return v, nil
}

func (p *parser) string() (string, error) {
	p.pos++
	var out []byte
	for p.pos < len(p.b) {
		c := p.b[p.pos]
		switch {
		case c == '"':
			p.pos++
			if !utf8.Valid(out) {
				return "", p.errorf("a string is not valid UTF-8")
			}
			return string(out), nil
		case c < ' ':
			return "", p.errorf("a string holds a control character or is not closed")
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
			p.pos++
		}
	}
	return "", p.errorf("a string is not closed")
}

func (p *parser) escape() (rune, error) {
	if p.pos+1 >= len(p.b) {
		return 0, p.errorf("a string is not closed")
	}
	c := p.b[p.pos+1]
	p.pos += 2
	if c != 'u' {
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			return rune("\"\\/\b\f\n\r\t"[i]), nil
		}
		return 0, p.errorf("unknown escape %q", `\`+string(rune(c)))
	}
	hex := func() (rune, bool) {
		if p.pos+4 > len(p.b) {
			return 0, false
		}
		x, err := strconv.ParseUint(string(p.b[p.pos:p.pos+4]), 16, 16)
		p.pos += 4
		return rune(x), err == nil
	}
	r, ok := hex()
	if ok && utf16.IsSurrogate(r) {
		ok = p.pos+2 <= len(p.b) && p.b[p.pos] == '\\' && p.b[p.pos+1] == 'u'
		if ok {
			p.pos += 2
			var low rune
			low, ok = hex()
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
	}
	if !ok {
		return 0, p.errorf(`malformed \u escape`)
	}
	return r, nil
}
