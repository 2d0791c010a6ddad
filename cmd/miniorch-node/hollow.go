package main

import (
	"context"
	"errors"
)

func runHollow(context.Context, options) error { return errors.New("hollow nodes are not built yet") }
