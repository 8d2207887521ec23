package stream

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// LoggerFactory hands pion's log lines to a slog.Logger. What pion calls an
// error or a warning is about one client's packets, so it is debug output here;
// what we must act on, we log ourselves.
type LoggerFactory struct{ Log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f LoggerFactory) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{f.Log.With(slog.String("scope", scope))}
}

type pionLogger struct{ log *slog.Logger }

func (l pionLogger) emit(level, msg string) {
	l.log.Debug("pion", slog.String("pion_level", level), slog.String("text", msg))
}

func (l pionLogger) emitf(level, format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.emit(level, fmt.Sprintf(format, args...))
	}
}

// Trace and Debug are dropped: pion writes them per packet.

func (l pionLogger) Trace(string)                  {}
func (l pionLogger) Tracef(string, ...any)         {}
func (l pionLogger) Debug(string)                  {}
func (l pionLogger) Debugf(string, ...any)         {}
func (l pionLogger) Info(msg string)               { l.emit("info", msg) }
func (l pionLogger) Infof(format string, a ...any) { l.emitf("info", format, a) }
func (l pionLogger) Warn(msg string)               { l.emit("warn", msg) }
func (l pionLogger) Warnf(format string, a ...any) { l.emitf("warn", format, a) }
func (l pionLogger) Error(msg string)              { l.emit("error", msg) }
func (l pionLogger) Errorf(f string, a ...any)     { l.emitf("error", f, a) }
