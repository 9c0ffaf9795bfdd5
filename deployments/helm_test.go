package deployments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
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
	schemas  = "../.cache/deploy/schemas/{{.ResourceKind}}{{.KindSuffix}}.json"
	queueURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"
)

// needed are the two values without defaults.
var needed = []string{"--set", "worker.queueUrl=" + queueURL, "--set", "worker.tableName=predictions"}

// render renders the chart, has kubeconform check the outcome, and returns it by kind.
func render(t *testing.T, args ...string) map[string]object {
	t.Helper()
	text := command{}.must(t, tool(t, "helm"), slices.Concat([]string{"template", "cache", chart, "--namespace", "ml"}, needed, args)...)
	out := command{stdin: text}.must(t, tool(t, "kubeconform"), "-strict", "-summary",
		"-schema-location", schemas)
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

// The restricted Pod Security Standard ("Pod Security Standards", Kubernetes documentation), and a read-only root besides. No user
// is set: OpenShift's restricted-v2 refuses one outside of the namespace's range ("Managing security context constraints", OpenShift
// documentation), and the image has its own.
func TestChartIsRestricted(t *testing.T) {
	all := render(t)
	same(t, "the pod", at(pod(all), "securityContext"), object{"runAsNonRoot": true, "seccompProfile": object{"type": "RuntimeDefault"}})
	same(t, "the container", at(container(all), "securityContext"), object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []string{"ALL"}}})
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "volumes"} {
		if at(pod(all), field) != nil {
			t.Errorf("the pod has %s", field)
		}
	}
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	// The kubelet can tell that a user isn't root by its number only.
	if !regexp.MustCompile(`(?m)^USER [1-9][0-9]*(:|$)`).Match(dockerfile) {
		t.Error("the image sets no user by number")
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

// What one value changes in several places, and what values do together.
func TestChartSwitches(t *testing.T) {
	t.Parallel()
	type check = func(t *testing.T, all map[string]object)
	cases := map[string]struct {
		values string
		check  check
	}{
		"a digest in place of the tag": {"image: {tag: v9, digest: sha256:" + strings.Repeat("a", 64) + "}", func(t *testing.T, all map[string]object) {
			same(t, "the image", at(container(all), "image"), "ghcr.io/predcache/worker@sha256:"+strings.Repeat("a", 64))
		}},
		"a tag": {"image: {tag: v9}", func(t *testing.T, all map[string]object) {
			same(t, "the image", at(container(all), "image"), "ghcr.io/predcache/worker:v9")
		}},
		"settings of every type": {"worker: {rejectQueueUrl: '" + queueURL + "-rejects', settings: {MAX_HELD_BYTES: 268435456, TTL_JITTER: 0.1, ALLOW_NO_TTL: true, TTL: 1h}}", func(t *testing.T, all map[string]object) {
			for name, want := range map[string]string{
				"WORKER_REJECT_QUEUE_URL": queueURL + "-rejects", "WORKER_MAX_HELD_BYTES": "268435456", "WORKER_TTL_JITTER": "0.1", "WORKER_ALLOW_NO_TTL": "true", "WORKER_TTL": "1h",
			} {
				same(t, name, env(all)[name], want)
			}
		}},
		"a region": {"aws: {region: eu-central-1}\nkeda: {enabled: true}", func(t *testing.T, all map[string]object) {
			same(t, "AWS_REGION", env(all)["AWS_REGION"], "eu-central-1")
			same(t, "KEDA's region", at(all["ScaledObject"], "spec", "triggers", 0, "metadata", "awsRegion"), "eu-central-1")
		}},
		"IRSA": {"aws: {identity: irsa, roleArn: 'arn:aws:iam::123456789012:role/worker'}\nserviceAccount: {annotations: {team: ml}}", func(t *testing.T, all map[string]object) {
			same(t, "annotations", at(all["ServiceAccount"], "metadata", "annotations"), object{
				"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/worker", "eks.amazonaws.com/sts-regional-endpoints": "true", "team": "ml",
			})
			same(t, "egress rules", len(at(all["NetworkPolicy"], "spec", "egress").([]any)), 2)
		}},
		"Pod Identity": {"{}", func(t *testing.T, all map[string]object) {
			same(t, "annotations", at(all["ServiceAccount"], "metadata", "annotations"), nil)
			same(t, "the agent", at(all["NetworkPolicy"], "spec", "egress", 2, "to", 0, "ipBlock", "cidr"), "169.254.170.23/32")
		}},
		"the node's role": {"aws: {identity: none}", func(t *testing.T, all map[string]object) {
			same(t, "the instance metadata service", at(all["NetworkPolicy"], "spec", "egress", 2), object{
				"ports": []object{{"port": 80, "protocol": "TCP"}},
				"to":    []object{{"ipBlock": object{"cidr": "169.254.169.254/32"}}, {"ipBlock": object{"cidr": "fd00:ec2::254/128"}}},
			})
		}},
		"another service account": {"aws: {identity: irsa}\nserviceAccount: {create: false, name: mine}", func(t *testing.T, all map[string]object) {
			if all["ServiceAccount"] != nil {
				t.Error("there is a ServiceAccount")
			}
			same(t, "the account", at(pod(all), "serviceAccountName"), "mine")
		}},
		"another GOMAXPROCS": {"worker: {extraEnv: [{name: GOMAXPROCS, value: '4'}]}", func(t *testing.T, all map[string]object) {
			same(t, "GOMAXPROCS", environment(all)["GOMAXPROCS"], object{"name": "GOMAXPROCS", "value": "4"})
			same(t, "variables", len(at(container(all), "env").([]any)), len(environment(all)))
		}},
		"no CPU request": {"resources: {requests: {cpu: null}}", func(t *testing.T, all map[string]object) {
			same(t, "GOMAXPROCS", environment(all)["GOMAXPROCS"], nil)
		}},
		"memory in other units": {"resources: {limits: {memory: 0.5G}}", func(t *testing.T, all map[string]object) {
			same(t, "the limit", at(container(all), "resources", "limits", "memory"), "0.5G")
		}},
		"less memory if less is held": {"resources: {limits: {memory: 200Mi}, requests: {memory: 100Mi}}\nworker: {settings: {MAX_HELD_BYTES: 52428800}}", func(t *testing.T, all map[string]object) {
			same(t, "the limit", at(container(all), "resources", "limits", "memory"), "200Mi")
		}},
		"a collector": {"worker: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://collector.telemetry:4318'}]}", func(t *testing.T, all map[string]object) {
			same(t, "egress", at(all["NetworkPolicy"], "spec", "egress", 2), object{
				"ports": []object{{"port": 4318, "protocol": "TCP"}}, "to": []object{{"namespaceSelector": object{}}},
			})
		}},
		"a collector on the node": {"networkPolicy: {tracesTo: [{ipBlock: {cidr: 10.0.0.0/8}}]}\nworker: {extraEnv: [{name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, value: '$(HOST_IP):4317'}]}", func(t *testing.T, all map[string]object) {
			same(t, "egress", at(all["NetworkPolicy"], "spec", "egress", 2), object{
				"ports": []object{{"port": 4317, "protocol": "TCP"}}, "to": []object{{"ipBlock": object{"cidr": "10.0.0.0/8"}}},
			})
		}},
		"a collector in the pod": {"aws: {identity: none}\nworker: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://localhost:4318'}]}", func(t *testing.T, all map[string]object) {
			same(t, "egress rules", len(at(all["NetworkPolicy"], "spec", "egress").([]any)), 3)
		}},
		"a collector from a secret": {"worker: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, valueFrom: {secretKeyRef: {name: otel, key: url}}}]}", func(t *testing.T, all map[string]object) {
			same(t, "ports", at(all["NetworkPolicy"], "spec", "egress", 2, "ports"), []object{{"port": 4317, "protocol": "TCP"}, {"port": 4318, "protocol": "TCP"}})
		}},
		"KEDA": {"keda: {enabled: true}", func(t *testing.T, all map[string]object) {
			spec := at(all["ScaledObject"], "spec")
			same(t, "the target", at(spec, "scaleTargetRef", "name"), at(all["Deployment"], "metadata", "name"))
			same(t, "the minimum", at(spec, "minReplicaCount"), 1)
			same(t, "the backlog", at(spec, "triggers", 0, "metadata"), object{
				"queueURL": queueURL, "queueLength": "5000", "activationQueueLength": "0", "scaleOnInFlight": "false", "awsRegion": "eu-west-1",
			})
			same(t, "the age", at(spec, "triggers", 1, "type"), "aws-cloudwatch")
			same(t, "the age's queue", at(spec, "triggers", 1, "metadata", "dimensionValue"), "predictions")
			same(t, "triggers", len(at(spec, "triggers").([]any)), 2)
			for i := range 2 {
				same(t, "authentication", at(spec, "triggers", i, "authenticationRef", "name"), at(all["TriggerAuthentication"], "metadata", "name"))
			}
		}},
		"KEDA down to zero": {"keda: {enabled: true, scaleToZero: true}\nprometheusRule: {enabled: true}", func(t *testing.T, all map[string]object) {
			same(t, "scaleOnInFlight", at(all["ScaledObject"], "spec", "triggers", 0, "metadata", "scaleOnInFlight"), "true")
			if slices.Contains(alerts(all), "PredcacheNoWorkers") {
				t.Error("no workers would raise an alert")
			}
		}},
		"a HorizontalPodAutoscaler": {"autoscaling: {enabled: true, age: {metric: sqs_age}}", func(t *testing.T, all map[string]object) {
			spec := at(all["HorizontalPodAutoscaler"], "spec")
			same(t, "the target", at(spec, "scaleTargetRef", "name"), at(all["Deployment"], "metadata", "name"))
			same(t, "the metrics", at(spec, "metrics"), []object{{"type": "External", "external": object{"metric": object{"name": "sqs_age"}, "target": object{"type": "Value", "value": "60"}}}})
		}},
		"KEDA and the HorizontalPodAutoscaler scale alike": {"keda: {enabled: true}", func(t *testing.T, all map[string]object) {
			other := renderAll(t, map[string]object{"hpa": values(t, variant{path: "autoscaling.enabled", value: "true", with: hpa})})["hpa"]
			same(t, "the behavior", at(other["HorizontalPodAutoscaler"], "spec", "behavior"), at(all["ScaledObject"], "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"))
		}},
		"batch outputs": {"worker: {objectsQueueUrl: '" + queueURL + "-objects', objects: [scores/daily/, forecasts], settings: {OBJECTS_CONCURRENCY: 4}}\nautoscaling: {enabled: true, backlog: {metric: a}, objects: {metric: b}}", func(t *testing.T, all map[string]object) {
			for name, want := range map[string]string{
				"WORKER_OBJECTS_QUEUE_URL": queueURL + "-objects", "WORKER_OBJECTS": "scores/daily/,forecasts", "WORKER_OBJECTS_CONCURRENCY": "4",
			} {
				same(t, name, env(all)[name], want)
			}
			same(t, "ranges", at(all["HorizontalPodAutoscaler"], "spec", "metrics", 1, "external"), object{"metric": object{"name": "b"}, "target": object{"type": "AverageValue", "averageValue": "16"}})
		}},
		"batch outputs and KEDA": {"worker: {objectsQueueUrl: '" + queueURL + "-objects', objects: [scores/daily/]}\nkeda: {enabled: true}", func(t *testing.T, all map[string]object) {
			same(t, "ranges", at(all["ScaledObject"], "spec", "triggers", 2, "metadata"), object{
				"queueURL": queueURL + "-objects", "queueLength": "16", "activationQueueLength": "0", "scaleOnInFlight": "false", "awsRegion": "eu-west-1",
			})
		}},
		"no disruption budget": {"podDisruptionBudget: {enabled: false}", func(t *testing.T, all map[string]object) {
			if all["PodDisruptionBudget"] != nil {
				t.Error("there is one")
			}
		}},
		"no network policy": {"networkPolicy: {enabled: false}", func(t *testing.T, all map[string]object) {
			if all["NetworkPolicy"] != nil {
				t.Error("there is one")
			}
		}},
		"a narrow network policy": {"networkPolicy: {awsCidrs: [10.0.0.0/8], awsPorts: [443, 4566], dnsTo: [{ipBlock: {cidr: 10.0.0.2/32}}], metricsFrom: [{podSelector: {matchLabels: {app: prometheus}}}], extraIngress: [{ports: [{port: 1}]}], extraEgress: [{ports: [{port: 2}]}]}", func(t *testing.T, all map[string]object) {
			spec := at(all["NetworkPolicy"], "spec")
			same(t, "DNS", at(spec, "egress", 0, "to"), []object{{"ipBlock": object{"cidr": "10.0.0.2/32"}}})
			same(t, "AWS", at(spec, "egress", 1), object{
				"ports": []object{{"port": 443, "protocol": "TCP"}, {"port": 4566, "protocol": "TCP"}}, "to": []object{{"ipBlock": object{"cidr": "10.0.0.0/8"}}},
			})
			same(t, "the last egress rule", at(spec, "egress", 3), object{"ports": []object{{"port": 2}}})
			same(t, "ingress", at(spec, "ingress", 0, "from", 0, "podSelector", "matchLabels", "app"), "prometheus")
			same(t, "the last ingress rule", at(spec, "ingress", 1), object{"ports": []object{{"port": 1}}})
		}},
		"a ServiceMonitor": {"serviceMonitor: {enabled: true}", func(t *testing.T, all map[string]object) {
			labels := at(all["Service"], "metadata", "labels").(object)
			for name, value := range at(all["ServiceMonitor"], "spec", "selector", "matchLabels").(object) {
				same(t, "the Service's "+name, labels[name], value)
			}
			same(t, "its endpoint", at(all["ServiceMonitor"], "spec", "endpoints", 0), object{"port": "http", "path": "/metrics", "interval": "15s"})
			same(t, "its port", at(all["Service"], "spec", "ports", 0, "name"), "http")
			same(t, "its job", labels[at(all["ServiceMonitor"], "spec", "jobLabel").(string)], labels["app.kubernetes.io/instance"])
		}},
		"alerts": {"prometheusRule: {enabled: true, disabled: [PredcacheRejects]}", func(t *testing.T, all map[string]object) {
			var r rules
			readYAML(t, "alerts/predcache.yaml", &r)
			same(t, "alerts but one", len(alerts(all)), len(r.Groups[0].Rules)-1)
			if slices.Contains(alerts(all), "PredcacheRejects") {
				t.Error("the alert that was left out is there")
			}
		}},
		"a sleep before the drain": {"lifecycle: {preStop: {sleep: {seconds: 15}}}", func(t *testing.T, all map[string]object) {
			same(t, "the grace period", at(pod(all), "terminationGracePeriodSeconds"), 50)
		}},
		"a spread without a selector": {"topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]", func(t *testing.T, all map[string]object) {
			same(t, "its selector", at(pod(all), "topologySpreadConstraints", 0, "labelSelector", "matchLabels"), at(all["Deployment"], "spec", "selector", "matchLabels"))
		}},
		"labels that are in two values": {"commonLabels: {team: ml, stage: dev}\npodLabels: {stage: prod}", func(t *testing.T, all map[string]object) {
			same(t, "the pod's", at(all["Deployment"], "spec", "template", "metadata", "labels", "stage"), "prod")
			same(t, "the Deployment's", at(all["Deployment"], "metadata", "labels", "stage"), "dev")
		}},
	}
	sets, checks := map[string]object{}, map[string]check{}
	names := map[string]string{}
	for name, c := range cases {
		alias := fmt.Sprintf("v%03d", len(sets))
		sets[alias] = values(t, variant{path: "nameOverride", value: "''", with: c.values})
		checks[alias], names[alias] = c.check, name
	}
	for alias, all := range renderAll(t, sets) {
		t.Run(names[alias], func(t *testing.T) { checks[alias](t, all) })
	}
}

// OpenShift's DNS is in another namespace, on another port.
func TestChartOnOpenShift(t *testing.T) {
	all := render(t, "--api-versions", "security.openshift.io/v1")
	same(t, "DNS", at(all["NetworkPolicy"], "spec", "egress", 1, "ports", 0), object{"port": 5353, "protocol": "UDP"})
	same(t, "its namespace", at(all["NetworkPolicy"], "spec", "egress", 1, "to", 0, "namespaceSelector", "matchLabels"), object{"kubernetes.io/metadata.name": "openshift-dns"})
}

// A queue's URL names its region in each of SQS's forms.
func TestChartRegion(t *testing.T) {
	t.Parallel()
	regions := map[string]string{
		queueURL: "eu-west-1",
		"https://vpce-0a1b2c3d4e5f-abcdefgh.sqs.eu-central-1.vpce.amazonaws.com/123456789012/predictions":                 "eu-central-1",
		"https://vpce-0a1b2c3d4e5f-abcdefgh-us-gov-west-1a.sqs.us-gov-west-1.vpce.amazonaws.com/123456789012/predictions": "us-gov-west-1",
		"https://sqs-fips.us-east-2.amazonaws.com/123456789012/predictions":                                               "us-east-2",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/predictions":                                                "cn-north-1",
		"https://sqs.ap-southeast-2.api.aws/123456789012/predictions":                                                     "ap-southeast-2",
		"https://ap-south-1.queue.amazonaws.com/123456789012/predictions":                                                 "ap-south-1",
	}
	sets, urls := map[string]object{}, map[string]string{}
	for url := range regions {
		alias := fmt.Sprintf("v%03d", len(sets))
		sets[alias], urls[alias] = values(t, variant{path: "worker.queueUrl", value: url, with: scaled}), url
	}
	for alias, all := range renderAll(t, sets) {
		for i := range 2 {
			same(t, urls[alias], at(all["ScaledObject"], "spec", "triggers", i, "metadata", "awsRegion"), regions[urls[alias]])
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
