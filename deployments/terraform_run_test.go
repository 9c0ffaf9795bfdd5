package deployments

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// moduleNeeds is all that the module reads, as its README.md says.
var moduleNeeds = []string{"terraform", "pulumi/policies", "pulumi/predcache/settings.json", "cloudwatch"}

// providerMirror builds the provider that stands in for hashicorp/aws, and returns the configuration of OpenTofu that finds it.
// The provider has the real one's resource types and arguments, and refuses others.
var providerMirror = sync.OnceValues(func() (config string, err error) {
	mirror, err := filepath.Abs("../.cache/deploy/terraform")
	if err != nil {
		return "", err
	}
	if output, err := exec.Command("testproviders/mirror.sh", mirror).CombinedOutput(); err != nil {
		return "", &exec.Error{Name: "mirror.sh: " + string(output), Err: err}
	}
	return filepath.Join(mirror, "cli.tfrc"), nil
})

// tofu returns a command that runs OpenTofu in a folder, with the test provider.
func tofu(t *testing.T, dir string) command {
	t.Helper()
	config, err := providerMirror()
	if err != nil {
		t.Fatal(err)
	}
	return command{dir: dir, limit: 3 * time.Minute, env: []string{
		"TF_CLI_CONFIG_FILE=" + config, "TF_IN_AUTOMATION=1", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true",
	}}
}

// copyModule copies the module and what it reads, so that runs leave nothing in the sources. It returns the copy of
// deployments/.
func copyModule(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "deployments")
	for _, path := range moduleNeeds {
		err := filepath.WalkDir(path, func(path string, d os.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && strings.HasPrefix(d.Name(), ".terraform"):
				return filepath.SkipDir
			case d.IsDir():
				return os.MkdirAll(filepath.Join(root, path), 0o755)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, path), text, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTerraformIsFormatted(t *testing.T) {
	stdout, stderr, err := command{dir: terraformModule}.run(t, tool(t, "tofu"), "fmt", "-check", "-diff", "-recursive")
	if err != nil {
		t.Errorf("run `tofu fmt -recursive`:\n%s%s", stdout, stderr)
	}
}

// The module's own tests, in terraform/tests.
func TestTerraformModule(t *testing.T) {
	c := tofu(t, filepath.Join(copyModule(t), terraformModule))
	c.must(t, tool(t, "tofu"), "init", "-backend=false", "-no-color")
	c.must(t, tool(t, "tofu"), "validate", "-no-color")
	stdout, stderr, err := c.run(t, tool(t, "tofu"), "test", "-no-color")
	if err != nil {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
	if !strings.Contains(stdout, "passed, 0 failed") {
		t.Errorf("no test has passed:\n%s", stdout)
	}
}

func TestTerraformExamples(t *testing.T) {
	examples, err := filepath.Glob(terraformModule + "/examples/*")
	if err != nil || len(examples) < 2 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	root := copyModule(t)
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			c := tofu(t, filepath.Join(root, example))
			c.env = append(c.env, "TF_VAR_vpc_id=vpc-0a1b2c3d", `TF_VAR_subnets=["subnet-0a1b2c3d"]`,
				"TF_VAR_key_arn=arn:aws:kms:eu-west-1:123456789012:key/1234abcd", "TF_VAR_topic_arn=arn:aws:sns:eu-west-1:123456789012:oncall")
			c.must(t, tool(t, "tofu"), "init", "-backend=false", "-no-color")
			plan := c.must(t, tool(t, "tofu"), "plan", "-no-color", "-input=false", "-lock=false")
			if !strings.Contains(plan, `module.predcache.aws_ecs_service.worker[0] will be created`) {
				t.Errorf("the plan makes no service:\n%s", plan)
			}
		})
	}
}

// The module as users have it: from a Git repository, by a folder of it. Its files outside of that folder are there too.
func TestTerraformModuleFromGit(t *testing.T) {
	root := copyModule(t)
	git := command{dir: filepath.Dir(root), env: []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}}
	git.must(t, "git", "init", "--quiet")
	git.must(t, "git", "add", "--all")
	git.must(t, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "module")
	git.must(t, "git", "tag", "v1.2.3")

	// The first block of each page, with this repository in the place of GitHub's.
	for _, page := range []string{terraformModule + "/README.md", "../docs/deploy.md"} {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			_, block, _ := strings.Cut(string(text), "```hcl\n")
			block, _, _ = strings.Cut(block, "```")
			const github = "git::https://github.com/predcache/predcache.git"
			if !strings.Contains(block, github) {
				t.Fatalf("its first block doesn't have the module from %s:\n%s", github, block)
			}
			user := t.TempDir()
			block = strings.ReplaceAll(block, github, "git::file://"+filepath.ToSlash(git.dir))
			if err := os.WriteFile(filepath.Join(user, "main.tf"), []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			c := tofu(t, user)
			c.must(t, tool(t, "tofu"), "init", "-backend=false", "-no-color")
			plan := c.must(t, tool(t, "tofu"), "plan", "-no-color", "-input=false", "-lock=false")
			if !strings.Contains(plan, `module.predcache.aws_ecs_service.worker[0] will be created`) || !strings.Contains(plan, " 0 to destroy") {
				t.Errorf("the plan makes no service:\n%s", plan)
			}
		})
	}
}

// Users make keys, topics and networks beside the module, whose identifiers are not known in the plan.
func TestTerraformPlansWithUnknownInputs(t *testing.T) {
	root := copyModule(t)
	user := filepath.Join(root, "user")
	if err := os.Mkdir(user, 0o755); err != nil {
		t.Fatal(err)
	}
	config := `
resource "terraform_data" "arn" { input = "arn:aws:…" }
resource "terraform_data" "id" { input = "id" }

module "predcache" {
  source  = "../terraform"
  key_arn = terraform_data.arn.output
  alarms  = { topics = [terraform_data.arn.output] }
  objects = { prefixes = ["${terraform_data.id.output}/scores/"], key_arns = [terraform_data.arn.output] }
  redrive = true
  scaler  = true

  worker_settings = { OTEL_SERVICE_NAME = terraform_data.id.output }

  service = {
    image            = terraform_data.id.output
    vpc_id           = terraform_data.id.output
    subnets          = terraform_data.id.output[*]
    secrets          = { OTEL_EXPORTER_OTLP_HEADERS = terraform_data.arn.output }
    secret_key_arns  = [terraform_data.arn.output]
    sidecars         = [{ name = "collector", image = terraform_data.id.output, secrets = [{ name = "CONFIG", valueFrom = terraform_data.arn.output }] }]
    task_policy_arns = [terraform_data.arn.output]
  }
}`
	if err := os.WriteFile(filepath.Join(user, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := tofu(t, user)
	c.must(t, tool(t, "tofu"), "init", "-backend=false", "-no-color")
	if plan := c.must(t, tool(t, "tofu"), "plan", "-no-color", "-input=false", "-lock=false"); !strings.Contains(plan, " 0 to destroy") {
		t.Errorf("the plan is:\n%s", plan)
	}
}

// Invalid inputs are refused before anything is made, each with what to write instead.
func TestTerraformRefusesInvalidInputs(t *testing.T) {
	c := tofu(t, filepath.Join(copyModule(t), terraformModule))
	c.must(t, tool(t, "tofu"), "init", "-backend=false", "-no-color")
	service := func(more object) object {
		s := object{"image": "worker:v1", "vpc_id": "vpc-1", "subnets": []string{"subnet-1"}}
		for name, value := range more {
			s[name] = value
		}
		return s
	}
	// OpenTofu reports all variables at once, and of each the first rule that it breaks.
	for name, test := range map[string]struct {
		inputs object
		want   []string
	}{
		"first rules": {object{
			"name": "-a", "layout": "sorted", "hash_key": "expiresAt", "hash_key_type": "B", "key_arn": "alias/key",
			"billing": object{"mode": "free"}, "queue": object{"visibility_seconds": 10}, "alarms": object{"max_age_seconds": 30},
			"objects": object{"prefixes": []string{}}, "worker_settings": object{"WORKER_QUEUE_URL": "x", "WORKER_OBJECTS": "scores/"},
		}, []string{
			`name is "-a": give 2 to 27 letters, digits and hyphens`,
			`layout is "sorted": give versioned, expiry-sorted or latest-only.`,
			`The key "expiresAt" is an attribute that the worker writes besides: give another hash_key.`,
			`hash_key_type is "B": give S or N.`,
			`key_arn is "alias/key": give the key's ARN.`,
			`billing.mode is "free": give on-demand or provisioned.`,
			`queue.visibility_seconds is 10: give 30 to 43200.`,
			`alarms.max_age_seconds can't be under 60: CloudWatch knows the age by the minute.`,
			`objects.prefixes is empty: give the buckets and beginnings of keys that may be read, like scores/daily/.`,
			`worker_settings: WORKER_QUEUE_URL is set by the module.`,
			`worker_settings: WORKER_OBJECTS is set by the module: give objects.`,
		}},
		"second rules": {object{
			"hash_key": "id", "sort_key": "id", "billing": object{"min_read_units": 5}, "queue": object{"retention_days": 15},
			"objects":         object{"prefixes": []string{"scores/", "/x"}},
			"worker_settings": object{"WORKER_TTLS": "1h", "PATH": "/"},
		}, []string{
			`hash_key and sort_key are both "id": give two names.`,
			`billing.min_read_units and min_write_units are for the mode provisioned: remove them, or set billing.mode.`,
			`queue.retention_days is 15: give 1 to 14.`,
			`objects.prefixes is ["scores/","/x"]: give a bucket's name, and after a slash the beginning of keys.`,
			"worker_settings: unknown setting PATH: `worker config` lists the settings; OTEL_ and GO variables pass through.",
			"worker_settings: unknown setting WORKER_TTLS: `worker config` lists the settings; OTEL_ and GO variables pass through.",
		}},
		"third rules": {object{
			"billing": object{"mode": "provisioned", "min_read_units": 5, "max_read_units": 50}, "queue": object{"max_receives": 3},
			"objects": object{"prefixes": []string{"scores/*"}},
			"worker_settings": object{
				"WORKER_TTL": "1 hour", "WORKER_POLLERS": "8.5", "WORKER_ORDERING": "latest", "WORKER_ALLOW_NO_TTL": "yes", // and right ones:
				"OTEL_SERVICE_NAME": "scores", "GOGC": "50", "WORKER_DEDUP_WINDOW": "0x10", "WORKER_DRAIN_TIMEOUT": "1m5.5s", "WORKER_LOG_FORMAT": "text",
			},
		}, []string{
			`billing.mode is provisioned: give min_read_units and min_write_units of 1 or more.`,
			`queue.max_receives is 3: give 10 to 1000; an outage or a few restarts would move good messages away after fewer.`,
			`objects.prefixes is ["scores/*"]: a beginning of keys permits all that follows, and has no pattern or comma.`,
			`worker_settings: WORKER_TTL is "1 hour": must be a duration like 500ms, 20s or 24h.`,
			`worker_settings: WORKER_POLLERS is "8.5": must be an integer.`,
			`worker_settings: WORKER_ORDERING is "latest": must be one of`,
			`worker_settings: WORKER_ALLOW_NO_TTL is "yes": must be true or false.`,
		}},
		"fourth rules": {object{
			"billing": object{"mode": "provisioned", "min_read_units": 5, "max_read_units": 50, "min_write_units": 5, "max_write_units": 4},
			"objects": object{"prefixes": []string{"scores"}, "bucket_owner": "12"}, "sort_key": "createdAt",
		}, []string{
			`billing.mode is provisioned: give max_read_units and max_write_units, not below the least.`,
			`objects.bucket_owner is "12": give the id of an account, 12 digits.`,
			`The key "createdAt" is an attribute that the worker writes besides: give another sort_key.`,
		}},
		"fifth rules": {object{
			"billing": object{"target_utilization": 95}, "objects": object{"prefixes": []string{"scores"}, "key_arns": []string{"key"}},
		}, []string{
			`billing.target_utilization is 95: give 20 to 90.`,
			`objects.key_arns is ["key"]: give the keys' ARNs.`,
		}},
		"sixth rules": {object{
			"billing": object{"max_read_units": -1}, "objects": object{"prefixes": []string{"scores"}, "max_age_seconds": 1},
		}, []string{
			`billing.max_read_units and max_write_units can't be negative: give 0 for no bound.`,
			`objects.max_age_seconds can't be under 60: CloudWatch knows the age by the minute.`,
		}},
		// The service's rules need the other inputs, so they come after those.
		"image":        {object{"service": service(object{"image": ""})}, []string{`service.image is needed.`}},
		"subnets":      {object{"service": service(object{"subnets": []string{}})}, []string{`service.subnets are needed.`}},
		"VPC":          {object{"service": service(object{"vpc_id": nil})}, []string{`service.vpc_id is needed, for a security group, unless service.security_groups are given.`}},
		"architecture": {object{"service": service(object{"architecture": "ARM"})}, []string{`service.architecture is "ARM": give ARM64 or X86_64.`}},
		"CPU": {object{"service": service(object{"cpu": 300})}, []string{
			`service.cpu is 300: Fargate takes 256, 512, 1024, 2048, 4096, 8192 or 16384.`,
		}},
		"size with steps": {object{"service": service(object{"cpu": 8192, "memory": 18432})}, []string{
			`service.memory is 18432: with service.cpu of 8192, Fargate takes 16384 to 61440 in steps of 4096.`,
		}},
		"smallest size": {object{"service": service(object{"cpu": 256, "memory": 1536})}, []string{
			`service.memory is 1536: with service.cpu of 256, Fargate takes 512, 1024 or 2048.`,
		}},
		"memory": {object{
			"service": service(nil), "objects": object{"prefixes": []string{"scores/"}},
			"worker_settings": object{"WORKER_MAX_HELD_BYTES": "734003200", "WORKER_OBJECTS_CONCURRENCY": "16"},
		}, []string{
			`service.memory is 1024, but the worker may take 1160 MiB (docs/guarantees.md, Memory), and the sidecars take theirs: raise it, or lower WORKER_MAX_HELD_BYTES.`,
		}},
		"memory of sidecars": {object{"service": service(object{"sidecars": []object{
			{"name": "a", "image": "a:1", "memory": 512}, {"name": "b", "image": "b:1", "memoryReservation": 300},
		}})}, []string{
			`service.memory is 1024, but the worker may take 256 MiB (docs/guarantees.md, Memory), and the sidecars take theirs`,
		}},
		"settings as secrets": {object{"service": service(object{"secrets": object{"WORKER_TTL": "arn:aws:ssm:eu-west-1:123456789012:parameter/ttl"}})}, []string{
			`service.secrets has ["WORKER_TTL"]: give names of environment variables, and no setting of the worker.`,
		}},
		"secrets and settings": {object{
			"worker_settings": object{"OTEL_SERVICE_NAME": "a"},
			"service":         service(object{"secrets": object{"OTEL_SERVICE_NAME": "arn:aws:ssm:eu-west-1:123456789012:parameter/name"}}),
		}, []string{
			`service.secrets has ["OTEL_SERVICE_NAME"], and worker_settings has one of them too: give each in one place.`,
		}},
		"secrets without an ARN": {object{"service": service(object{"sidecars": []object{
			{"name": "a", "image": "a:1", "secrets": []object{{"name": "TOKEN", "valueFrom": "token"}}},
		}})}, []string{
			`A secret in service.secrets or of a sidecar is not an ARN: give that of a parameter of Systems Manager or of a secret of Secrets Manager.`,
		}},
		"sidecars without an image": {object{"service": service(object{"sidecars": []object{{"name": "a"}}})}, []string{
			`service.sidecars: give each a name of up to 255 letters, digits, hyphens and underscores, and an image.`,
		}},
		"sidecars with one name": {object{"service": service(object{"sidecars": []object{{"name": "worker", "image": "a:1"}}})}, []string{
			`service.sidecars: two containers have the same name, or one is called worker: give each a name of its own.`,
		}},
		"policies without an ARN": {object{"service": service(object{"task_policy_arns": []string{"policy"}})}, []string{
			`service.secret_key_arns and task_policy_arns are ["policy"]: give ARNs.`,
		}},
		"drain": {object{"service": service(nil), "worker_settings": object{"WORKER_DRAIN_TIMEOUT": "1m50.5s"}}, []string{
			`WORKER_DRAIN_TIMEOUT is 1m50.5s: Fargate kills after 2m, so set at most 1m50s.`,
		}},
		"tasks": {object{"service": service(object{"min_tasks": 20})}, []string{
			`service.min_tasks is 20 and max_tasks 10: give 1 or more, and not less.`,
		}},
		"Spot": {object{"service": service(object{"spot_share": -1})}, []string{
			`service.spot_share is -1: give a share in percent, or 0 for none.`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(test.inputs)
			if err != nil {
				t.Fatal(err)
			}
			inputs := filepath.Join(t.TempDir(), "inputs.tfvars.json")
			if err := os.WriteFile(inputs, text, 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, _, err := c.run(t, tool(t, "tofu"), "plan", "-json", "-input=false", "-lock=false", "-var-file="+inputs)
			if err == nil {
				t.Fatal("the inputs are accepted")
			}
			got := refusals(t, stdout)
			for _, want := range test.want {
				found := slices.IndexFunc(got, func(message string) bool { return strings.HasPrefix(message, want) })
				if found < 0 {
					t.Errorf("no refusal says %s", want)
					continue
				}
				got = slices.Delete(got, found, found+1)
			}
			for _, message := range got {
				t.Errorf("not expected: %s", message)
			}
		})
	}
}

// refusals are the messages of the validations that failed, a line each.
func refusals(t *testing.T, stdout string) (messages []string) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		var event struct {
			Diagnostic struct{ Summary, Detail string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		d := event.Diagnostic
		if d.Summary == "" {
			continue
		}
		message, _, validation := strings.Cut(d.Detail, "\n\nThis was checked by the validation rule at ")
		if !validation {
			t.Errorf("%s: %s", d.Summary, d.Detail)
		}
		messages = append(messages, strings.Split(message, "\n")...)
	}
	return messages
}
