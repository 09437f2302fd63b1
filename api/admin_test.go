package api

import (
	"context"
	"time"

	"github.com/epov-signer/epov/signer"
)

// idleOperator does nothing, successfully.
type idleOperator struct{}

func (idleOperator) Drain(context.Context, time.Duration, time.Duration) (int, error) { return 0, nil }
func (idleOperator) Undrain()                                                         {}
func (idleOperator) Reload(context.Context) []ReloadedPart                            { return nil }
func (idleOperator) State() State                                                     { return State{} }
func (idleOperator) Stage(context.Context, signer.KeyName, []string, string) error    { return nil }
func (idleOperator) Activate(context.Context, signer.KeyName) error                   { return nil }
func (idleOperator) Retire(context.Context, signer.KeyName) error                     { return nil }
func (idleOperator) Disable(context.Context, signer.KeyName) error                    { return nil }
