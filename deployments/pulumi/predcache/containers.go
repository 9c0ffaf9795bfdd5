package predcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// secretARN matches what the containers' secrets may be: a parameter of Systems Manager, or a secret of Secrets Manager with,
// by choice, a JSON key, a version stage and a version ("Specify Secrets Manager secrets", Amazon ECS Developer Guide).
var secretARN = regexp.MustCompile(`^arn:[a-z-]+:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/.+|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?)$`)

var (
	variableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	containerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
)

// containerProblems returns what is wrong with the secrets and the sidecars.
func (a ServiceArgs) containerProblems() (errs []error) {
	wrong := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Secrets)) {
		wrong(!variableName.MatchString(name), "service.secrets has %q: give the name of an environment variable", name)
		wrong(strings.HasPrefix(name, "WORKER_"), "service.secrets has %s: no setting of the worker is secret, and its status page shows them all: give it in workerSettings", name)
	}
	names := []string{"worker"}
	for i, s := range a.Sidecars {
		name, _ := s["name"].(string)
		image, _ := s["image"].(string)
		wrong(!containerName.MatchString(name), "service.sidecars[%d].name is %q: give up to 255 letters, digits, hyphens and underscores", i, name)
		wrong(slices.Contains(names, name), "service.sidecars[%d].name is %q, which another container has", i, name)
		wrong(image == "", "service.sidecars[%d].image is needed", i)
		names = append(names, name)
	}
	for _, arn := range a.secretARNs() {
		wrong(!secretARN.MatchString(arn), "the secret %q: give the ARN of a parameter of Systems Manager or of a secret of Secrets Manager", arn)
	}
	for _, arn := range append(slices.Clone(a.SecretKeyArns), a.TaskPolicyArns...) {
		wrong(!strings.HasPrefix(arn, "arn:"), "service.secretKeyArns or taskPolicyArns has %q: give the ARN", arn)
	}
	return errs
}

// secretARNs returns the secrets of all containers, each once, in order.
func (a ServiceArgs) secretARNs() []string {
	all := slices.Collect(maps.Values(a.Secrets))
	for _, s := range a.Sidecars {
		list, _ := s["secrets"].([]any)
		for _, secret := range list {
			fields, _ := secret.(map[string]any)
			arn, _ := fields["valueFrom"].(string)
			all = append(all, arn)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// secretsPolicy lets the execution role read the containers' secrets and nothing else ("Amazon ECS task execution IAM role",
// Secrets Manager or Systems Manager permissions). It is empty where there are none.
func (a ServiceArgs) secretsPolicy() (string, error) {
	resources := map[string][]string{"kms:Decrypt": a.SecretKeyArns}
	for _, arn := range a.secretARNs() {
		fields := strings.Split(arn, ":")
		if fields[2] == "ssm" {
			resources["ssm:GetParameters"] = append(resources["ssm:GetParameters"], arn)
			continue
		}
		// The JSON key, the version stage and the version are not parts of the resource.
		secret := strings.Join(fields[:7], ":")
		if have := resources["secretsmanager:GetSecretValue"]; !slices.Contains(have, secret) {
			resources["secretsmanager:GetSecretValue"] = append(have, secret)
		}
	}
	var statements []any
	for _, action := range slices.Sorted(maps.Keys(resources)) {
		if arns := resources[action]; len(arns) > 0 {
			statements = append(statements, map[string]any{"Effect": "Allow", "Action": []string{action}, "Resource": arns})
		}
	}
	if statements == nil {
		return "", nil
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return "", fmt.Errorf("writing the policy of the secrets: %w", err)
	}
	return string(text), nil
}

// workerSecrets are the worker's secret variables, in a fixed order.
func (a ServiceArgs) workerSecrets(settings map[string]string) (list []any, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.Secrets)) {
		if _, both := settings[name]; both {
			err = errors.Join(err, fmt.Errorf("%s is in both workerSettings and service.secrets", name))
		}
		list = append(list, map[string]any{"name": name, "valueFrom": a.Secrets[name]})
	}
	return list, err
}

// sidecars returns the definitions of the sidecars. One without a log configuration logs beside the worker, and the end of
// one doesn't end the task unless it is essential.
func (a ServiceArgs) sidecars(logGroup string) (list []any) {
	for _, s := range a.Sidecars {
		s = maps.Clone(s)
		if s["essential"] == nil {
			s["essential"] = false
		}
		if s["logConfiguration"] == nil {
			s["logConfiguration"] = a.logConfiguration(logGroup, fmt.Sprint(s["name"]))
		}
		list = append(list, s)
	}
	return list
}

// sidecarMemory is what the sidecars may take or have reserved, in MiB.
func (a ServiceArgs) sidecarMemory() (mib int) {
	number := func(v any) int {
		switch v := v.(type) {
		case float64: // from JSON
			return int(v)
		case int:
			return v
		}
		return 0
	}
	for _, s := range a.Sidecars {
		mib += max(number(s["memory"]), number(s["memoryReservation"]))
	}
	return mib
}

func (a ServiceArgs) logConfiguration(group, prefix string) map[string]any {
	return map[string]any{"logDriver": "awslogs", "options": map[string]string{
		"awslogs-group": group, "awslogs-region": a.Region, "awslogs-stream-prefix": prefix,
		// A slow CloudWatch must not block the container.
		"mode": "non-blocking", "max-buffer-size": "4m",
	}}
}
