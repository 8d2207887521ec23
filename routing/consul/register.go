package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"
)

// whatRegistration names the registration in reports.
const whatRegistration = "registration"

// keepRegistered registers the node and renews its check until ctx ends; then it
// withdraws it.
func (s *Source) keepRegistered(ctx context.Context) error {
	registered, ever, failures := false, false, 0
	for {
		err := s.beat(ctx, &registered)
		if ctx.Err() != nil {
			break
		}
		s.report.note(whatRegistration, err, time.Now())
		wait := s.pace.spread(s.cfg.TTL / 3)
		if err != nil {
			failures++
			wait = min(wait, s.pace.spread(backoff(failures)))
			s.cfg.Log.Debug("consul registration", slog.Any("err", err))
		} else {
			ever, failures = true, 0
		}
		if pause(ctx, wait) != nil {
			break
		}
	}
	if ever {
		s.leave(ctx)
	}
	return context.Cause(ctx)
}

// beat renews the check, and registers where that is needed.
func (s *Source) beat(ctx context.Context, registered *bool) error {
	if *registered {
		err := s.renew(ctx)
		if _, answered := errors.AsType[api.StatusError](err); !answered {
			return err
		}
		// The agent answers, but does not have us: it has begun anew, or somebody
		// took us out.
		*registered = false
		s.cfg.Log.Info("registering again with consul", slog.Any("cause", err))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
	if err := s.api.Agent().ServiceRegisterOpts(s.cfg.registration(), opts); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	*registered = true
	s.cfg.Log.Info("registered with consul", slog.String("service", s.cfg.serviceID()))
	return nil
}

func (s *Source) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := s.api.Agent().UpdateTTLOpts(s.cfg.checkID(), "", api.HealthPassing, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return fmt.Errorf("renew the check: %w", err)
	}
	return nil
}

// leave withdraws the registration. Who cannot be told finds out by the check.
func (s *Source) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := s.api.Agent().ServiceDeregisterOpts(s.cfg.serviceID(), (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		s.cfg.Log.Warn("registration not withdrawn from consul", slog.Any("err", err))
		return
	}
	s.cfg.Log.Info("registration withdrawn from consul")
}
