package deployments

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
)

const ecsTemplate = "ecs/service.template.json"

func TestTemplatePassesCfnLint(t *testing.T) {
	command{}.must(t, tool(t, "cfn-lint"), ecsTemplate)
}

// A linter that finds nothing is worth only what it would find.
func TestCfnLintFindsMistakes(t *testing.T) {
	text, err := os.ReadFile(ecsTemplate)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"a size that Fargate hasn't": {`"Memory": "1024"`, `"Memory": "512"`, "E3047"},
		"a network mode":             {`"NetworkMode": "awsvpc"`, `"NetworkMode": "bridge"`, "E3048"},
		"an unknown field":           {`"StopTimeout"`, `"StopTime"`, "E3002"},
		"an unknown parameter":       {`"Ref": "Image"`, `"Ref": "Picture"`, "E1020"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "template.json")
			broken := strings.Replace(string(text), c.old, c.new, 1)
			if broken == string(text) {
				t.Fatalf("the template has no %s", c.old)
			}
			if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, err := command{}.run(t, tool(t, "cfn-lint"), file)
			if err == nil || !strings.Contains(stdout, c.want) {
				t.Errorf("cfn-lint: %v\n%s%s\nwant %s", err, stdout, stderr, c.want)
			}
		})
	}
}

func TestServiceOnMoto(t *testing.T) {
	text := command{limit: 2 * time.Minute}.must(t, "../.cache/deploy/python/bin/python", "tools/moto_ecs.py", ecsTemplate)
	var all object
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, s := range config.Settings() {
		defaults[s.Name] = s.Default
	}
	for _, architecture := range []string{"ARM64", "X86_64"} {
		t.Run(architecture, func(t *testing.T) {
			made := all[architecture]
			task, c := at(made, "task"), at(made, "task", "containerDefinitions", 0)
			same(t, "the platform", at(task, "runtimePlatform"), object{"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"})
			same(t, "where it runs", at(task, "requiresCompatibilities"), []string{"FARGATE"})
			same(t, "the network", at(task, "networkMode"), "awsvpc")
			same(t, "the root", at(c, "readonlyRootFilesystem"), true)
			same(t, "the user", at(c, "user"), "65532:65532")
			same(t, "the health check", at(c, "healthCheck", "command"), []string{"CMD", "/worker", "health"})
			same(t, "the logs", at(c, "logConfiguration", "logDriver"), "awslogs")
			same(t, "roles", []any{at(task, "taskRoleArn") != nil, at(task, "executionRoleArn") != nil}, []bool{true, true})
			drain, err := time.ParseDuration(defaults["WORKER_DRAIN_TIMEOUT"])
			if err != nil {
				t.Fatal(err)
			}
			if stop, _ := at(c, "stopTimeout").(float64); time.Duration(stop)*time.Second < drain+5*time.Second {
				t.Errorf("killed after %v s, with %v of drain", stop, drain)
			}
			environment, _ := at(c, "environment").([]any)
			for _, v := range environment {
				name, _ := at(v, "name").(string)
				if _, known := defaults[name]; strings.HasPrefix(name, "WORKER_") && !known {
					t.Errorf("the worker has no setting %s", name)
				}
			}
			same(t, "the service's network", at(made, "service", "networkConfiguration", "awsvpcConfiguration", "assignPublicIp"), "DISABLED")
			same(t, "the scaling's bounds", []any{at(made, "targets", 0, "MinCapacity"), at(made, "targets", 0, "MaxCapacity")}, []int{1, 10})
			same(t, "the backlog", at(made, "policies", 0, "TargetTrackingScalingPolicyConfiguration", "TargetValue"), 5000)
		})
	}
}
