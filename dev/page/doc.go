// Package page tests the worker's status page in a real browser, and takes its pictures. It is a module of its own, so that
// the worker's dependencies stay few.
package page
