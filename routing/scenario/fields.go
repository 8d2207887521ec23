package scenario

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

// object gives typed access to the fields of a JSON object. The first error
// sticks, so that a reader can take all fields and look once.
type object struct {
	v    value
	path string
	err  *error
}

// fail records the first error, with the line and the path of the field.
func (o object) fail(line int, field, format string, args ...any) {
	if *o.err == nil {
		at := o.path
		if field != "" {
			if at != "" {
				at += "."
			}
			at += field
		}
		if at == "" {
			at = "document"
		}
		// Keys come from the file: an error stays one line whatever they hold.
		at = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return '?'
			}
			return r
		}, at)
		*o.err = fmt.Errorf("line %d: %s: %s", line, at, fmt.Sprintf(format, args...))
	}
}

// field finds a field; null counts as absent.
func (o object) field(name string) (value, bool) {
	for i, k := range o.v.keys {
		if k == name {
			return o.v.items[i], o.v.items[i].kind != kindNull
		}
	}
	return value{}, false
}

func (o object) typed(name string, want kind, required bool) (value, bool) {
	v, ok := o.field(name)
	switch {
	case !ok && required:
		o.fail(o.v.line, name, "is required")
	case ok && v.kind != want:
		o.fail(v.line, name, "must be %s, not %s", want, v.kind)
		return v, false
	}
	return v, ok
}

func (o object) text(name string, required bool) string {
	v, ok := o.typed(name, kindString, required)
	if ok && required && v.str == "" {
		o.fail(v.line, name, "is empty")
	}
	return v.str
}

// limit is a number that is not negative.
func (o object) limit(name string, required bool) float64 {
	v, _ := o.typed(name, kindNumber, required)
	if v.num < 0 {
		o.fail(v.line, name, "is negative (%s)", v.str)
	}
	return v.num
}

func (o object) integer(name string, required bool, low, high float64) int64 {
	v, ok := o.typed(name, kindNumber, required)
	if ok && v.num != math.Trunc(v.num) {
		o.fail(v.line, name, "must be a whole number, not %s", v.str)
	}
	if ok && (v.num < low || v.num > high) {
		o.fail(v.line, name, "is out of range (%s)", v.str)
		return 0
	}
	return int64(v.num)
}

// list calls each with every item of an array of objects.
func (o object) list(name string, required bool, each func(i int, item object)) {
	v, _ := o.typed(name, kindArray, required)
	for i, item := range v.items {
		if *o.err != nil {
			return
		}
		path := fmt.Sprintf("%s[%d]", name, i)
		if o.path != "" {
			path = o.path + "." + path
		}
		c := object{v: item, path: path, err: o.err}
		if item.kind != kindObject {
			c.fail(item.line, "", "must be an object, not %s", item.kind)
			return
		}
		each(i, c)
	}
}

// child is a field that holds an object.
func (o object) child(name string, required bool) (object, bool) {
	v, ok := o.typed(name, kindObject, required)
	path := name
	if o.path != "" {
		path = o.path + "." + name
	}
	return object{v: v, path: path, err: o.err}, ok
}
