//go:build tools

// Package tools names the command that go.mod and go.sum pin; it is never compiled.
package tools

import _ "k8s.io/kubernetes/cmd/kubelet"
