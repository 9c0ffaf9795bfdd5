// Package testproviders holds stand-ins for the AWS providers of Pulumi and Terraform, and the tests of both stacks through them:
// the same inputs must make the same resources in both. It is for tests alone.
package testproviders
