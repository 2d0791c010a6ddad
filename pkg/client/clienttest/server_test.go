package clienttest

import "testing"

func TestServer(t *testing.T) { TestTransport(t, NewServer(t)) }
