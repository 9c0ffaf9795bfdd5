package deployments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/predcache/predcache/internal/config"
)

const (
	chart    = "helm/predcache"
	queueURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"
)

// needed are the two values without defaults.
var needed = []string{"--set", "worker.queueUrl=" + queueURL, "--set", "worker.tableName=predictions"}

// render renders the chart, has kubeconform check the outcome, and returns it by kind.
func render(t *testing.T, args ...string) map[string]object {
	t.Helper()
	text := command{}.must(t, tool(t, "helm"), slices.Concat([]string{"template", "cache", chart, "--namespace", "ml"}, needed, args)...)
	out := command{stdin: text}.must(t, tool(t, "kubeconform"), "-strict", "-summary",
		"-schema-location", "../.cache/deploy/schemas/{{.ResourceKind}}{{.KindSuffix}}.json")
	all := map[string]object{}
	documents := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o object
		if err := documents.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o) == 0 {
			continue
		}
		kind, _ := o["kind"].(string)
		if all[kind] != nil {
			t.Errorf("two of the kind %s", kind)
		}
		if namespace := at(o, "metadata", "namespace"); namespace != "ml" {
			t.Errorf("%s is in the namespace %v", kind, namespace)
		}
		all[kind] = o
	}
	if want := fmt.Sprintf("Summary: %d resource", len(all)); !strings.Contains(out, want) || !strings.Contains(out, fmt.Sprintf("Valid: %d", len(all))) {
		t.Errorf("kubeconform: %s", out)
	}
	return all
}

// refused renders the chart with values that it must not take.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	_, stderr, err := command{}.run(t, tool(t, "helm"), append([]string{"template", "cache", chart}, args...)...)
	if err == nil || !strings.Contains(stderr, want) {
		t.Errorf("helm template %v: %v\n%s\nwant: %s", args, err, stderr, want)
	}
}

func kinds(all map[string]object) []string {
	var names []string
	for kind := range all {
		names = append(names, kind)
	}
	slices.Sort(names)
	return names
}

func pod(all map[string]object) any { return at(all["Deployment"], "spec", "template", "spec") }

func container(all map[string]object) any { return at(pod(all), "containers", 0) }

// environment has the container's variables by their names.
func environment(all map[string]object) map[string]any {
	variables := map[string]any{}
	list, _ := at(container(all), "env").([]any)
	for _, v := range list {
		variables[at(v, "name").(string)] = v
	}
	return variables
}

// env has the values of the container's variables.
func env(all map[string]object) map[string]any {
	values := map[string]any{}
	for name, v := range environment(all) {
		values[name] = at(v, "value")
	}
	return values
}

// same reports a value that isn't what it should be.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

func TestChartLints(t *testing.T) {
	t.Log(command{}.must(t, tool(t, "helm"), append([]string{"lint", "--strict", chart}, needed...)...))
}

func TestChartPackages(t *testing.T) {
	dir := t.TempDir()
	command{}.must(t, tool(t, "helm"), "package", chart, "--version", "1.2.3", "--app-version", "v1.2.3", "--destination", dir)
	text := command{}.must(t, tool(t, "helm"), slices.Concat([]string{"template", "cache", filepath.Join(dir, "predcache-1.2.3.tgz"), "--set", "prometheusRule.enabled=true"}, needed)...)
	for _, want := range []string{"image: ghcr.io/predcache/worker:v1.2.3", "alert: PredcacheTableDown"} {
		if !strings.Contains(text, want) {
			t.Errorf("the packed chart doesn't render %q", want)
		}
	}
}

func TestChartDefaults(t *testing.T) {
	all := render(t)
	same(t, "the kinds", kinds(all), []string{"Deployment", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"})
	same(t, "replicas", at(all["Deployment"], "spec", "replicas"), 2)
	p, c := pod(all), container(all)
	same(t, "enableServiceLinks", at(p, "enableServiceLinks"), false)
	same(t, "the pod's token", at(p, "automountServiceAccountToken"), false)
	same(t, "the budget", at(all["PodDisruptionBudget"], "spec", "unhealthyPodEvictionPolicy"), "AlwaysAllow")
	same(t, "liveness", at(c, "livenessProbe", "httpGet"), object{"path": "/livez", "port": "http"})
	same(t, "readiness", at(c, "readinessProbe", "httpGet"), object{"path": "/readyz", "port": "http"})
	same(t, "args", at(c, "args"), []string{"run"})
	same(t, "spread", len(at(p, "topologySpreadConstraints").([]any)), 2)
	same(t, "GOMAXPROCS", environment(all)["GOMAXPROCS"], object{"name": "GOMAXPROCS", "valueFrom": object{"resourceFieldRef": object{"resource": "requests.cpu", "divisor": "1"}}})
	same(t, "the queue", env(all)["WORKER_QUEUE_URL"], queueURL)
	same(t, "the table", env(all)["WORKER_TABLE_NAME"], "predictions")
	if _, found := env(all)["WORKER_REJECT_QUEUE_URL"]; found {
		t.Error("WORKER_REJECT_QUEUE_URL is set")
	}
	// What the selector of one object picks are the labels of the pods.
	labels := at(all["Deployment"], "spec", "template", "metadata", "labels").(object)
	for what, selector := range map[string]any{
		"Deployment":          at(all["Deployment"], "spec", "selector", "matchLabels"),
		"NetworkPolicy":       at(all["NetworkPolicy"], "spec", "podSelector", "matchLabels"),
		"PodDisruptionBudget": at(all["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
	} {
		for name, value := range selector.(object) {
			same(t, what+" selects "+name, labels[name], value)
		}
	}
}

// The restricted Pod Security Standard ("Pod Security Standards", Kubernetes documentation), and a read-only root besides.
func TestChartIsRestricted(t *testing.T) {
	all := render(t)
	same(t, "the pod", at(pod(all), "securityContext"), object{"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": object{"type": "RuntimeDefault"}})
	same(t, "the container", at(container(all), "securityContext"), object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []string{"ALL"}}})
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "volumes"} {
		if at(pod(all), field) != nil {
			t.Errorf("the pod has %s", field)
		}
	}
}

// The chart's defaults are the worker's, and the pod is killed only after the drain.
func TestChartAgreesWithTheWorker(t *testing.T) {
	defaults := map[string]string{}
	for _, s := range config.Settings() {
		defaults[s.Name] = s.Default
	}
	all := render(t)
	for name, value := range env(all) {
		if !strings.HasPrefix(name, "WORKER_") {
			continue
		}
		standard, known := defaults[name]
		if !known {
			t.Errorf("the worker has no setting %s", name)
		} else if standard != "" && standard != value {
			t.Errorf("%s is %v in the chart, and %s in the worker", name, value, standard)
		}
	}
	for _, seconds := range []int{25, 60} {
		all := render(t, "--set", fmt.Sprintf("worker.drainTimeoutSeconds=%d", seconds))
		drain, err := time.ParseDuration(env(all)["WORKER_DRAIN_TIMEOUT"].(string))
		if err != nil || drain != time.Duration(seconds)*time.Second {
			t.Errorf("the drain timeout is %v (%v), not %d s", drain, err, seconds)
		}
		if grace := at(pod(all), "terminationGracePeriodSeconds").(int); grace < seconds+5 {
			t.Errorf("killed after %d s, with %d s of drain", grace, seconds)
		}
	}
	port := strings.TrimPrefix(defaults["WORKER_HTTP_ADDR"], ":")
	same(t, "the port", strconv.Itoa(at(container(all), "ports", 0, "containerPort").(int)), port)
}

func TestChartSwitches(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		check func(t *testing.T, all map[string]object)
	}{
		{"a digest in place of the tag", []string{"--set", "image.tag=v9,image.digest=sha256:" + strings.Repeat("a", 64)}, func(t *testing.T, all map[string]object) {
			same(t, "the image", at(container(all), "image"), "ghcr.io/predcache/worker@sha256:"+strings.Repeat("a", 64))
		}},
		{"a tag and pull secrets", []string{"--set", "image.tag=v9,image.pullPolicy=Always,imagePullSecrets[0].name=registry"}, func(t *testing.T, all map[string]object) {
			same(t, "the image", at(container(all), "image"), "ghcr.io/predcache/worker:v9")
			same(t, "the pull policy", at(container(all), "imagePullPolicy"), "Always")
			same(t, "the secrets", at(pod(all), "imagePullSecrets"), []object{{"name": "registry"}})
		}},
		{"replicas, none too", []string{"--set", "replicas=0"}, func(t *testing.T, all map[string]object) {
			same(t, "replicas", at(all["Deployment"], "spec", "replicas"), 0)
		}},
		{"settings of every type", []string{
			"--set", "worker.rejectQueueUrl=" + queueURL + "-rejects", "--set", "worker.settings.MAX_HELD_BYTES=268435456,worker.settings.TTL_JITTER=0.1,worker.settings.ALLOW_NO_TTL=true,worker.settings.TTL=1h",
		}, func(t *testing.T, all map[string]object) {
			for name, want := range map[string]string{
				"WORKER_REJECT_QUEUE_URL": queueURL + "-rejects", "WORKER_MAX_HELD_BYTES": "268435456", "WORKER_TTL_JITTER": "0.1", "WORKER_ALLOW_NO_TTL": "true", "WORKER_TTL": "1h",
			} {
				same(t, name, env(all)[name], want)
			}
		}},
		{"more environment", []string{"--set", "worker.extraEnv[0].name=AWS_ENDPOINT_URL,worker.extraEnv[0].value=http://aws:4566,worker.extraEnvFrom[0].secretRef.name=keys"}, func(t *testing.T, all map[string]object) {
			same(t, "AWS_ENDPOINT_URL", env(all)["AWS_ENDPOINT_URL"], "http://aws:4566")
			same(t, "envFrom", at(container(all), "envFrom"), []object{{"secretRef": object{"name": "keys"}}})
		}},
		{"a region", []string{"--set", "aws.region=eu-central-1,keda.enabled=true"}, func(t *testing.T, all map[string]object) {
			same(t, "AWS_REGION", env(all)["AWS_REGION"], "eu-central-1")
			same(t, "KEDA's region", at(all["ScaledObject"], "spec", "triggers", 0, "metadata", "awsRegion"), "eu-central-1")
		}},
		{"IRSA", []string{"--set", "aws.identity=irsa,aws.roleArn=arn:aws:iam::123456789012:role/worker,serviceAccount.annotations.team=ml"}, func(t *testing.T, all map[string]object) {
			same(t, "the annotations", at(all["ServiceAccount"], "metadata", "annotations"), object{
				"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/worker", "eks.amazonaws.com/sts-regional-endpoints": "true", "team": "ml",
			})
			same(t, "ways out", len(at(all["NetworkPolicy"], "spec", "egress").([]any)), 2)
		}},
		{"Pod Identity", nil, func(t *testing.T, all map[string]object) {
			same(t, "the annotations", at(all["ServiceAccount"], "metadata", "annotations"), nil)
			same(t, "the agent", at(all["NetworkPolicy"], "spec", "egress", 2, "to", 0, "ipBlock", "cidr"), "169.254.170.23/32")
		}},
		{"a service account of one's own", []string{"--set", "aws.identity=irsa,serviceAccount.create=false,serviceAccount.name=mine"}, func(t *testing.T, all map[string]object) {
			if all["ServiceAccount"] != nil {
				t.Error("there is a ServiceAccount")
			}
			same(t, "the account", at(pod(all), "serviceAccountName"), "mine")
		}},
		{"processors of one's own", []string{"--set", "worker.extraEnv[0].name=GOMAXPROCS", "--set-string", "worker.extraEnv[0].value=4"}, func(t *testing.T, all map[string]object) {
			same(t, "GOMAXPROCS", environment(all)["GOMAXPROCS"], object{"name": "GOMAXPROCS", "value": "4"})
			same(t, "variables", len(at(container(all), "env").([]any)), len(environment(all)))
		}},
		{"no CPU request", []string{"--set", "resources.requests.cpu=null"}, func(t *testing.T, all map[string]object) {
			same(t, "GOMAXPROCS", environment(all)["GOMAXPROCS"], nil)
		}},
		{"memory in other units", []string{"--set", "resources.limits.memory=0.5G"}, func(t *testing.T, all map[string]object) {
			same(t, "the limit", at(container(all), "resources", "limits", "memory"), "0.5G")
		}},
		{"less memory for less that is held", []string{"--set", "resources.limits.memory=200Mi,resources.requests.memory=100Mi,worker.settings.MAX_HELD_BYTES=52428800"}, func(t *testing.T, all map[string]object) {
			same(t, "the limit", at(container(all), "resources", "limits", "memory"), "200Mi")
		}},
		{"a collector", []string{"--set", "worker.extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT,worker.extraEnv[0].value=http://collector.telemetry:4318"}, func(t *testing.T, all map[string]object) {
			same(t, "out", at(all["NetworkPolicy"], "spec", "egress", 2), object{
				"ports": []object{{"port": 4318, "protocol": "TCP"}}, "to": []object{{"namespaceSelector": object{}}},
			})
		}},
		{"a collector on the node", []string{"--set", "networkPolicy.tracesTo[0].ipBlock.cidr=10.0.0.0/8,worker.extraEnv[0].name=OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,worker.extraEnv[0].value=$(HOST_IP):4317"}, func(t *testing.T, all map[string]object) {
			same(t, "out", at(all["NetworkPolicy"], "spec", "egress", 2), object{
				"ports": []object{{"port": 4317, "protocol": "TCP"}}, "to": []object{{"ipBlock": object{"cidr": "10.0.0.0/8"}}},
			})
		}},
		{"a collector in the pod", []string{"--set", "aws.identity=none,worker.extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT,worker.extraEnv[0].value=http://localhost:4318"}, func(t *testing.T, all map[string]object) {
			same(t, "ways out", len(at(all["NetworkPolicy"], "spec", "egress").([]any)), 2)
		}},
		{"a collector from a secret", []string{"--set", "worker.extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT,worker.extraEnv[0].valueFrom.secretKeyRef.name=otel,worker.extraEnv[0].valueFrom.secretKeyRef.key=url"}, func(t *testing.T, all map[string]object) {
			same(t, "ports", at(all["NetworkPolicy"], "spec", "egress", 2, "ports"), []object{{"port": 4317, "protocol": "TCP"}, {"port": 4318, "protocol": "TCP"}})
		}},
		{"KEDA", []string{"--set", "keda.enabled=true,keda.minReplicas=2,keda.maxReplicas=7,keda.messagesPerReplica=2000000,keda.maxAgeSeconds=90"}, func(t *testing.T, all map[string]object) {
			if at(all["Deployment"], "spec", "replicas") != nil {
				t.Error("the Deployment's replicas would fight KEDA's")
			}
			spec := at(all["ScaledObject"], "spec")
			same(t, "the target", at(spec, "scaleTargetRef", "name"), at(all["Deployment"], "metadata", "name"))
			same(t, "at the least", at(spec, "minReplicaCount"), 2)
			same(t, "at the most", at(spec, "maxReplicaCount"), 7)
			same(t, "by length", at(spec, "triggers", 0, "metadata"), object{
				"queueURL": queueURL, "queueLength": "2000000", "activationQueueLength": "0", "scaleOnInFlight": "false", "awsRegion": "eu-west-1",
			})
			same(t, "by age", at(spec, "triggers", 1, "type"), "aws-cloudwatch")
			same(t, "of which queue", at(spec, "triggers", 1, "metadata", "dimensionValue"), "predictions")
			same(t, "of what age", at(spec, "triggers", 1, "metadata", "targetMetricValue"), "90")
			for i := range 2 {
				same(t, "authentication", at(spec, "triggers", i, "authenticationRef", "name"), at(all["TriggerAuthentication"], "metadata", "name"))
			}
		}},
		{"KEDA down to zero", []string{"--set", "keda.enabled=true,keda.scaleToZero=true,prometheusRule.enabled=true"}, func(t *testing.T, all map[string]object) {
			same(t, "at the least", at(all["ScaledObject"], "spec", "minReplicaCount"), 0)
			same(t, "what is in flight", at(all["ScaledObject"], "spec", "triggers", 0, "metadata", "scaleOnInFlight"), "true")
			if slices.Contains(alerts(all), "PredcacheNoWorkers") {
				t.Error("no workers would raise an alert")
			}
		}},
		{"batch outputs", []string{"--set", "worker.objectsQueueUrl=" + queueURL + "-objects,worker.objects={scores/daily/,forecasts},worker.settings.OBJECTS_CONCURRENCY=4,keda.enabled=true"}, func(t *testing.T, all map[string]object) {
			for name, want := range map[string]string{
				"WORKER_OBJECTS_QUEUE_URL": queueURL + "-objects", "WORKER_OBJECTS": "scores/daily/,forecasts", "WORKER_OBJECTS_CONCURRENCY": "4",
			} {
				same(t, name, env(all)[name], want)
			}
			same(t, "by ranges", at(all["ScaledObject"], "spec", "triggers", 2, "metadata"), object{
				"queueURL": queueURL + "-objects", "queueLength": "16", "activationQueueLength": "0", "scaleOnInFlight": "false", "awsRegion": "eu-west-1",
			})
		}},
		{"no batch outputs", []string{"--set", "keda.enabled=true"}, func(t *testing.T, all map[string]object) {
			same(t, "WORKER_OBJECTS_QUEUE_URL", env(all)["WORKER_OBJECTS_QUEUE_URL"], nil)
			same(t, "triggers", len(at(all["ScaledObject"], "spec", "triggers").([]any)), 2)
		}},
		{"no disruption budget", []string{"--set", "podDisruptionBudget.enabled=false"}, func(t *testing.T, all map[string]object) {
			if all["PodDisruptionBudget"] != nil {
				t.Error("there is one")
			}
		}},
		{"a disruption budget in percent", []string{"--set", "podDisruptionBudget.maxUnavailable=25%"}, func(t *testing.T, all map[string]object) {
			same(t, "maxUnavailable", at(all["PodDisruptionBudget"], "spec", "maxUnavailable"), "25%")
		}},
		{"no network policy", []string{"--set", "networkPolicy.enabled=false"}, func(t *testing.T, all map[string]object) {
			if all["NetworkPolicy"] != nil {
				t.Error("there is one")
			}
		}},
		{"a narrow network policy", []string{"--set", "networkPolicy.awsCidrs={10.0.0.0/8},networkPolicy.awsPorts={443,4566},networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus"}, func(t *testing.T, all map[string]object) {
			same(t, "out", at(all["NetworkPolicy"], "spec", "egress", 1), object{
				"ports": []object{{"port": 443, "protocol": "TCP"}, {"port": 4566, "protocol": "TCP"}}, "to": []object{{"ipBlock": object{"cidr": "10.0.0.0/8"}}},
			})
			same(t, "in", at(all["NetworkPolicy"], "spec", "ingress", 0, "from", 0, "podSelector", "matchLabels", "app"), "prometheus")
		}},
		{"a PodMonitor", []string{"--set", "podMonitor.enabled=true,podMonitor.interval=30s,podMonitor.labels.release=prometheus"}, func(t *testing.T, all map[string]object) {
			same(t, "the endpoint", at(all["PodMonitor"], "spec", "podMetricsEndpoints", 0), object{"port": "http", "path": "/metrics", "interval": "30s"})
			same(t, "its label", at(all["PodMonitor"], "metadata", "labels", "release"), "prometheus")
		}},
		{"alerts", []string{"--set", "prometheusRule.enabled=true,prometheusRule.labels.release=prometheus,prometheusRule.disabled={PredcacheRejects}"}, func(t *testing.T, all map[string]object) {
			var r rules
			readYAML(t, "alerts/predcache.yaml", &r)
			same(t, "alerts but one", len(alerts(all)), len(r.Groups[0].Rules)-1)
			if slices.Contains(alerts(all), "PredcacheRejects") {
				t.Error("the alert that was left out is there")
			}
			same(t, "its label", at(all["PrometheusRule"], "metadata", "labels", "release"), "prometheus")
		}},
		{"where pods go", []string{"--set", "topologySpread.enabled=false,nodeSelector.disk=ssd,tolerations[0].key=spot,affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution=null,priorityClassName=high,podAnnotations.a=b,podLabels.team=ml"}, func(t *testing.T, all map[string]object) {
			if at(pod(all), "topologySpreadConstraints") != nil {
				t.Error("pods are spread")
			}
			same(t, "the nodes", at(pod(all), "nodeSelector"), object{"disk": "ssd"})
			same(t, "the taints", at(pod(all), "tolerations", 0, "key"), "spot")
			same(t, "the priority", at(pod(all), "priorityClassName"), "high")
			same(t, "the annotation", at(all["Deployment"], "spec", "template", "metadata", "annotations", "a"), "b")
			same(t, "the label", at(all["Deployment"], "spec", "template", "metadata", "labels", "team"), "ml")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, render(t, c.args...))
		})
	}
}

// A queue's URL names its region in each of SQS's forms.
func TestChartRegion(t *testing.T) {
	for url, want := range map[string]string{
		queueURL: "eu-west-1",
		"https://vpce-0a1b2c3d4e5f-abcdefgh.sqs.eu-central-1.vpce.amazonaws.com/123456789012/predictions":                 "eu-central-1",
		"https://vpce-0a1b2c3d4e5f-abcdefgh-us-gov-west-1a.sqs.us-gov-west-1.vpce.amazonaws.com/123456789012/predictions": "us-gov-west-1",
		"https://sqs-fips.us-east-2.amazonaws.com/123456789012/predictions":                                               "us-east-2",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/predictions":                                                "cn-north-1",
		"https://sqs.ap-southeast-2.api.aws/123456789012/predictions":                                                     "ap-southeast-2",
		"https://ap-south-1.queue.amazonaws.com/123456789012/predictions":                                                 "ap-south-1",
	} {
		all := render(t, "--set", "keda.enabled=true,worker.queueUrl="+url)
		for i := range 2 {
			same(t, url, at(all["ScaledObject"], "spec", "triggers", i, "metadata", "awsRegion"), want)
		}
	}
}

func alerts(all map[string]object) (names []string) {
	list, _ := at(all["PrometheusRule"], "spec", "groups", 0, "rules").([]any)
	for _, r := range list {
		names = append(names, at(r, "alert").(string))
	}
	return names
}

func TestChartRefuses(t *testing.T) {
	refused(t, "worker.queueUrl is needed", "--set", "worker.tableName=t")
	refused(t, "worker.tableName is needed", "--set", "worker.queueUrl="+queueURL)
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"a value that there is not", "additional properties 'workers' not allowed", []string{"--set", "workers=3"}},
		{"a misspelt setting", "additional properties 'TLL' not allowed", []string{"--set", "worker.settings.TLL=1h"}},
		{"a setting of another type", "/worker/settings/TTL", []string{"--set", "worker.settings.TTL=soon"}},
		{"a number without its unit", "/worker/settings/TTL", []string{"--set", "worker.settings.TTL=3600"}},
		{"a setting of other values", "value must be one of 'last-write', 'newest'", []string{"--set", "worker.settings.ORDERING=latest"}},
		{"a misspelt setting among the variables", "worker.extraEnv has WORKER_TLL: give", []string{"--set", "worker.extraEnv[0].name=WORKER_TLL,worker.extraEnv[0].value=1h"}},
		{"a setting in lower case", "additional properties 'ttl' not allowed", []string{"--set", "worker.settings.ttl=1h"}},
		{"a setting that has a value of its own", "additional properties 'DRAIN_TIMEOUT' not allowed", []string{"--set", "worker.settings.DRAIN_TIMEOUT=1h"}},
		{"too short a drain", "minimum", []string{"--set", "worker.drainTimeoutSeconds=5"}},
		{"IRSA without a role", "aws.roleArn is needed", []string{"--set", "aws.identity=irsa"}},
		{"a role that is none", "does not match pattern", []string{"--set", "aws.identity=irsa,aws.roleArn=worker"}},
		{"no memory for what is held", "resources.limits.memory is 64Mi, but the worker may take 256Mi", []string{"--set", "resources.limits.memory=64Mi,resources.requests.memory=64Mi"}},
		{"more held than there is memory", "resources.limits.memory is 512Mi, but the worker may take 656Mi", []string{"--set", "worker.settings.MAX_HELD_BYTES=419430400"}},
		{"no memory for rows of objects", "resources.limits.memory is 300Mi, but the worker may take 344Mi", []string{"--set", "worker.objectsQueueUrl=" + queueURL + "-objects,worker.objects={scores},resources.limits.memory=300Mi"}},
		{"objects without a queue", "worker.objectsQueueUrl is not", []string{"--set", "worker.objects={scores/daily/}"}},
		{"a queue of objects without prefixes", "worker.objects is needed", []string{"--set", "worker.objectsQueueUrl=" + queueURL + "-objects"}},
		{"a pattern of keys", "does not match pattern", []string{"--set", "worker.objectsQueueUrl=" + queueURL + "-objects,worker.objects={scores/*}"}},
		{"memory in odd units", "not a quantity", []string{"--set", "resources.limits.memory=500MB"}},
		{"a request over its limit", "resources.requests.cpu is 2, over resources.limits.cpu of 500m", []string{"--set", "resources.requests.cpu=2,resources.limits.cpu=500m"}},
		{"KEDA without a region", "aws.region is needed with keda.enabled", []string{"--set", "keda.enabled=true,worker.queueUrl=http://sqs.local:4566/000000000000/predictions"}},
		{"no account named", "serviceAccount.name is needed", []string{"--set", "serviceAccount.create=false"}},
		{"more at the least than at the most", "keda.minReplicas is over", []string{"--set", "keda.enabled=true,keda.minReplicas=11"}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.want, append(slices.Clone(needed), c.args...)...) })
	}
}

// Every value has a default, and its meaning in the schema.
func TestChartValuesAreDocumented(t *testing.T) {
	var values, schema object
	readYAML(t, chart+"/values.yaml", &values)
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, value any, schema any)
	compare = func(path string, value any, schema any) {
		if path != "" && at(schema, "description") == nil {
			t.Errorf("%s has no description in the schema", path)
		}
		properties, _ := at(schema, "properties").(object)
		fields, _ := value.(object)
		for name, field := range fields {
			if properties != nil {
				if properties[name] == nil {
					t.Errorf("%s.%s is not in the schema", path, name)
				}
				compare(path+"."+name, field, properties[name])
			}
		}
		for name := range properties {
			if _, found := fields[name]; !found && path+"."+name != ".global" && path != ".worker.settings" {
				t.Errorf("%s.%s has no default in values.yaml", path, name)
			}
		}
	}
	compare("", values, schema)
}
