package csi

import (
	"testing"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
