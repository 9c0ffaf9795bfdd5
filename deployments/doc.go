// Package deployments holds what deploys the worker; its Go files test it. It is a module of its own, so that what the tests
// need stays out of the worker's dependencies. Tests that take long have the build tag long: see mk/deploy.mk.
package deployments
