package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written with a unit such as 64MiB.
type Size int64

// sizeUnits from the largest, so that String finds the roundest.
func sizeUnits() []struct {
	name  string
	bytes Size
} {
	return []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}
}

// String writes s with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func parseSize(text string) (Size, bool) {
	number, unit := text, Size(1)
	for _, u := range sizeUnits() {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return Size(n) * unit, true
}

// parseInto sets the setting v from its text. What it returns is a fault, with
// the way to mend it.
func parseInto(v reflect.Value, text string) *fault {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		if text != "true" && text != "false" {
			return &fault{fmt.Sprintf("%q is neither true nor false", text), boolHint(text)}
		}
		*p = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return &fault{fmt.Sprintf("%q is not a whole number", text), "write digits only, such as 1000"}
		}
		*p = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if _, plain := strconv.ParseFloat(text, 64); plain == nil && text != "0" {
			return &fault{fmt.Sprintf("%q has no unit", text), fmt.Sprintf("write %ss for seconds or %sms for milliseconds", text, text)}
		}
		if err != nil {
			return &fault{fmt.Sprintf("%q is not a duration", text), "write a number and a unit, such as 500ms, 10s or 5m"}
		}
		*p = d
	case *Size:
		n, ok := parseSize(text)
		if !ok {
			return &fault{fmt.Sprintf("%q is not a size", text), "write a whole number and a unit, such as 64MiB or 2GiB"}
		}
		*p = n
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	default:
		return &fault{"is a list of nodes", "set it in the file, or name a file with discovery.file"}
	}
	return nil
}

func boolHint(text string) string {
	switch strings.ToLower(text) {
	case "yes", "on", "1", "y", "true":
		return "write true"
	case "no", "off", "0", "n", "false":
		return "write false"
	default:
		return "write true or false"
	}
}

// valueText writes the setting v as it would be given.
func valueText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	case []Peer:
		ids := make([]string, 0, len(x))
		for _, p := range x {
			ids = append(ids, p.ID)
		}
		return "[" + strings.Join(ids, ", ") + "]"
	case string:
		if x == "" {
			return `""`
		}
		return x
	default:
		return fmt.Sprint(x)
	}
}
