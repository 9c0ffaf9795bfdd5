// Package testproviders holds stand-ins for the AWS providers of Pulumi and Terraform.
// They are for tests alone.
package testproviders
