package sim

import (
	"testing"

	"github.com/predcache/predcache/internal/workertest"
)

func TestMain(m *testing.M) { workertest.Main(m) }
