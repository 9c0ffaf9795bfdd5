package testproviders

import (
	"strings"
	"testing"
)

// The provider refuses what the real one refuses, so that a module that passes here has arguments that exist.
func TestProviderRefusesWhatTheRealOneRefuses(t *testing.T) {
	x := newTofu(t, nil)
	const table = `resource "aws_dynamodb_table" "t" {
		name = "t"
		hash_key = "id"
		%
	}`
	for name, c := range map[string]struct{ config, want string }{
		"an argument that does not exist":      {strings.Replace(table, "%", `sort_key = "at"`, 1), "Unsupported argument"},
		"one in a block":                       {strings.Replace(table, "%", "ttl {\nattribute = \"at\"\n}", 1), "Unsupported argument"},
		"a block that does not exist":          {strings.Replace(table, "%", "expiry {\n}", 1), "Unsupported block type"},
		"a second block where one may be":      {strings.Replace(table, "%", "ttl {\nenabled = true\n}\nttl {\nenabled = true\n}", 1), "Wrong number of blocks"},
		"a value of another type":              {strings.Replace(table, "%", `read_capacity = "many"`, 1), "Incorrect attribute value type"},
		"a computed attribute that is set":     {strings.Replace(table, "%", `arn = "arn:aws:dynamodb"`, 1), "Invalid Configuration for Read-Only Attribute"},
		"a missing argument":                   {`resource "aws_iam_policy" "p" {}`, "Missing required argument"},
		"a missing argument in a block":        {strings.Replace(table, "%", "attribute {\nname = \"id\"\n}", 1), "Missing required argument"},
		"a resource that does not exist":       {`resource "aws_dynamo_table" "t" {}`, "Invalid resource type"},
		"an attribute of a data source":        {"data \"aws_region\" \"r\" {}\noutput \"r\" {\nvalue = data.aws_region.r.code\n}", "Unsupported attribute"},
		"an argument of the provider's own":    {"provider \"aws\" {\nregions = []\n}\n" + strings.Replace(table, "%", "", 1), "Unsupported argument"},
		"a version that is not the real one's": {"terraform {\nrequired_providers {\naws = {\nsource = \"hashicorp/aws\"\nversion = \"< 6.0\"\n}\n}\n}", "no available releases match"},
	} {
		t.Run(name, func(t *testing.T) {
			x := tofu{t.TempDir(), x.binary, x.env}
			x.write(t, map[string]string{"main.tf": c.config})
			out, err := x.try(t, "init", "-no-color")
			if err == nil {
				out, err = x.try(t, "validate", "-no-color")
			}
			if err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), c.want) {
				t.Errorf("want %q: %v\n%s", c.want, err, out)
			}
		})
	}
}
