//go:build tools

// Package tools names the command that go.mod and go.sum pin; it is never compiled.
package tools

import _ "sigs.k8s.io/metrics-server/cmd/metrics-server"
