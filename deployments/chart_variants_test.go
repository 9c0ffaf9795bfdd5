package deployments

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A variant is one value of the chart, and where it shows.
type variant struct {
	path  string // of the value
	value string // in YAML
	with  string // values that it needs, in YAML
	mode  string // variants in different modes of one kind, like scaling=keda and scaling=hpa, exclude each other
	kind  string // of the object
	field []any  // of the object
	want  string // in YAML; empty if it only has to render
}

var (
	template  = []any{"spec", "template", "spec"}
	worker    = append(slices.Clone(template), "containers", 0)
	hpa       = "autoscaling: {enabled: true, backlog: {metric: sqs_backlog}}"
	scaled    = "keda: {enabled: true}"
	batches   = "worker: {objectsQueueUrl: '" + queueURL + "-objects', objects: [scores/daily/]}"
	volume    = "extraVolumes: [{name: scratch, emptyDir: {}}]"
	collector = "worker: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://collector:4318'}]}"
)

func in(base []any, more ...any) []any { return append(slices.Clone(base), more...) }

// chartVariants has every value of values.yaml at least once.
var chartVariants = []variant{
	{path: "nameOverride", value: "scores", kind: "Deployment", field: []any{"spec", "selector", "matchLabels", "app.kubernetes.io/name"}, want: "scores"},
	{path: "fullnameOverride", value: "scores", kind: "Deployment", field: []any{"metadata", "name"}, want: "scores"},
	{path: "namespaceOverride", value: "scores", kind: "Deployment", field: []any{"metadata", "namespace"}, want: "scores"},
	{path: "commonLabels", value: "{team: ml, app.kubernetes.io/part-of: scores}", kind: "Deployment", field: []any{"spec", "template", "metadata", "labels", "team"}, want: "ml"},
	{path: "commonAnnotations", value: "{owner: 'ml@example.com'}", kind: "Deployment", field: []any{"metadata", "annotations", "owner"}, want: "ml@example.com"},
	{path: "image.repository", value: "registry.example.com:5000/ml/worker", kind: "Deployment", field: in(worker, "image")},
	{path: "image.tag", value: "v9", kind: "Deployment", field: []any{"metadata", "labels", "app.kubernetes.io/version"}, want: "v9"},
	{path: "image.digest", value: "sha256:" + strings.Repeat("a", 64), kind: "Deployment", field: in(worker, "image")},
	{path: "image.pullPolicy", value: "Always", kind: "Deployment", field: in(worker, "imagePullPolicy"), want: "Always"},
	{path: "imagePullSecrets", value: "[{name: registry}]", kind: "Deployment", field: in(template, "imagePullSecrets"), want: "[{name: registry}]"},
	{path: "replicas", value: "0", mode: "scaling=fixed", kind: "Deployment", field: []any{"spec", "replicas"}, want: "0"},
	{path: "worker.queueUrl", value: queueURL + "-2", kind: "Deployment"},
	{path: "worker.tableName", value: "scores", kind: "Deployment"},
	{path: "worker.rejectQueueUrl", value: queueURL + "-rejects", kind: "Deployment"},
	{path: "worker.objectsQueueUrl", value: queueURL + "-objects", with: "worker: {objects: [forecasts]}", kind: "Deployment"},
	{path: "worker.objects", value: "[scores/daily/, forecasts]", with: batches, kind: "Deployment"},
	{path: "worker.drainTimeoutSeconds", value: "60", kind: "Deployment"},
	{path: "worker.drainTimeoutSeconds", value: "5", mode: "drain=short", kind: "Deployment"},
	{path: "worker.settings", value: "{RECEIVE_WAIT: 20s}", with: "worker: {drainTimeoutSeconds: 23}", mode: "drain=long", kind: "Deployment"},
	{path: "worker.settings", value: "{TTL: 1h, MAX_HELD_BYTES: 52428800, TTL_JITTER: 0.1, ALLOW_NO_TTL: true}", kind: "Deployment"},
	{path: "worker.extraEnv", value: "[{name: GOGC, value: '50'}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]", kind: "Deployment"},
	{path: "worker.extraEnv", value: "[{name: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, value: 'http://collector:4317'}]", mode: "policy=on", kind: "NetworkPolicy", field: []any{"spec", "egress", 2, "ports", 0, "port"}, want: "4317"},
	{path: "worker.extraEnvFrom", value: "[{secretRef: {name: keys, optional: true}}, {prefix: X_, configMapRef: {name: more}}]", kind: "Deployment", field: in(worker, "envFrom", 0, "secretRef", "name"), want: "keys"},
	{path: "aws.region", value: "eu-central-1", kind: "Deployment"},
	{path: "aws.identity", value: "none", mode: "identity=none", kind: "Deployment"},
	{path: "aws.roleArn", value: "arn:aws:iam::123456789012:role/worker", with: "aws: {identity: irsa}", mode: "account=create identity=irsa", kind: "ServiceAccount", field: []any{"metadata", "annotations", "eks.amazonaws.com/role-arn"}, want: "arn:aws:iam::123456789012:role/worker"},
	{path: "serviceAccount.create", value: "false", with: "serviceAccount: {name: mine}", mode: "account=own", kind: "Deployment"},
	{path: "serviceAccount.name", value: "worker", kind: "Deployment"},
	{path: "serviceAccount.annotations", value: "{team: ml}", mode: "account=create", kind: "ServiceAccount", field: []any{"metadata", "annotations", "team"}, want: "ml"},
	{path: "serviceAccount.automountServiceAccountToken", value: "true", kind: "Deployment", field: in(template, "automountServiceAccountToken"), want: "true"},
	{path: "resources", value: "{requests: {cpu: 2}, limits: {cpu: 4, memory: 1Gi, ephemeral-storage: 10Mi}}", kind: "Deployment", field: in(worker, "resources", "limits", "ephemeral-storage"), want: "10Mi"},
	{path: "podSecurityContext", value: "{runAsUser: 1000650000, fsGroup: 1000650000, fsGroupChangePolicy: OnRootMismatch, supplementalGroups: [2000]}", kind: "Deployment", field: in(template, "securityContext", "runAsUser"), want: "1000650000"},
	{path: "podSecurityContext", value: "null", kind: "Deployment", field: in(template, "securityContext"), want: "null"},
	{path: "securityContext", value: "null", kind: "Deployment", field: in(worker, "securityContext"), want: "null"},
	{path: "securityContext", value: "{runAsUser: 65533, seccompProfile: {type: Localhost, localhostProfile: worker.json}}", kind: "Deployment", field: in(worker, "securityContext", "runAsUser"), want: "65533"},
	{path: "initContainers", value: "[{name: wait, image: busybox, command: [sh, -c, 'true']}, {name: proxy, image: envoy, restartPolicy: Always, ports: [{containerPort: 15001}], readinessProbe: {httpGet: {path: /, port: 15001}}}]", kind: "Deployment", field: in(template, "initContainers", 1, "restartPolicy"), want: "Always"},
	{path: "extraContainers", value: "[{name: collector, image: 'otel:1', args: [a], env: [{name: A, value: b}], ports: [{name: otlp, containerPort: 4317}], resources: {limits: {memory: 64Mi}}, volumeMounts: [{name: scratch, mountPath: /scratch}]}]", with: volume, kind: "Deployment", field: in(template, "containers", 1, "name"), want: "collector"},
	{path: "extraVolumes", value: "[{name: scratch, emptyDir: {sizeLimit: 1Mi}}, {name: ca, configMap: {name: ca}}, {name: token, projected: {sources: [{serviceAccountToken: {audience: a, path: token}}, {secret: {name: s}}]}}, {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}, {name: csi, csi: {driver: secrets-store.csi.k8s.io, readOnly: true}}, {name: data, persistentVolumeClaim: {claimName: data}}]", kind: "Deployment", field: in(template, "volumes", 1, "configMap", "name"), want: "ca"},
	{path: "extraVolumeMounts", value: "[{name: scratch, mountPath: /tmp}]", with: volume, kind: "Deployment", field: in(worker, "volumeMounts"), want: "[{name: scratch, mountPath: /tmp}]"},
	{path: "livenessProbe", value: "{initialDelaySeconds: 5, httpGet: null, exec: {command: [/worker, health]}}", kind: "Deployment", field: in(worker, "livenessProbe", "exec", "command", 0), want: "/worker"},
	{path: "livenessProbe", value: "null", kind: "Deployment", field: in(worker, "livenessProbe"), want: "null"},
	{path: "readinessProbe", value: "{successThreshold: 2, periodSeconds: 20}", kind: "Deployment", field: in(worker, "readinessProbe", "successThreshold"), want: "2"},
	{path: "startupProbe", value: "{httpGet: {path: /livez, port: http}, failureThreshold: 30}", kind: "Deployment", field: in(worker, "startupProbe", "failureThreshold"), want: "30"},
	{path: "lifecycle", value: "{preStop: {sleep: {seconds: 5}}}", mode: "grace=sleep", kind: "Deployment", field: in(worker, "lifecycle", "preStop", "sleep", "seconds"), want: "5"},
	{path: "lifecycle", value: "{preStop: {exec: {command: [/worker, health]}}}", with: "terminationGracePeriodSeconds: 90", mode: "grace=set", kind: "Deployment", field: in(worker, "lifecycle", "preStop", "exec", "command", 1), want: "health"},
	{path: "terminationGracePeriodSeconds", value: "120", mode: "grace=set", kind: "Deployment", field: in(template, "terminationGracePeriodSeconds")},
	{path: "strategy", value: "{type: Recreate}", kind: "Deployment", field: []any{"spec", "strategy"}, want: "{type: Recreate}"},
	{path: "strategy", value: "{rollingUpdate: {maxSurge: 0, maxUnavailable: 50%}}", kind: "Deployment", field: []any{"spec", "strategy", "rollingUpdate"}, want: "{maxSurge: 0, maxUnavailable: 50%}"},
	{path: "minReadySeconds", value: "0", kind: "Deployment", field: []any{"spec", "minReadySeconds"}, want: "0"},
	{path: "revisionHistoryLimit", value: "10", kind: "Deployment", field: []any{"spec", "revisionHistoryLimit"}, want: "10"},
	{path: "podLabels", value: "{stage: prod, sidecar.istio.io/inject: 'false'}", kind: "Deployment", field: []any{"spec", "template", "metadata", "labels", "stage"}, want: "prod"},
	{path: "podAnnotations", value: "{cluster-autoscaler.kubernetes.io/safe-to-evict: 'true'}", kind: "Deployment", field: []any{"spec", "template", "metadata", "annotations", "cluster-autoscaler.kubernetes.io/safe-to-evict"}, want: "'true'"},
	{path: "nodeSelector", value: "{kubernetes.io/arch: arm64}", kind: "Deployment", field: in(template, "nodeSelector"), want: "{kubernetes.io/arch: arm64}"},
	{path: "tolerations", value: "[{key: spot, operator: Exists}, {key: team, value: ml, effect: NoExecute, tolerationSeconds: 60}, {operator: Exists}]", kind: "Deployment", field: in(template, "tolerations", 0, "key"), want: "spot"},
	{path: "affinity", value: "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: karpenter.sh/capacity-type, operator: In, values: [spot]}]}]}}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {a: b}}}}]}}", kind: "Deployment", field: in(template, "affinity", "podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution", 0, "weight"), want: "1"},
	{path: "topologySpreadConstraints", value: "[]", kind: "Deployment", field: in(template, "topologySpreadConstraints"), want: "null"},
	{path: "topologySpreadConstraints", value: "[{maxSkew: 2, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, minDomains: 3, labelSelector: {matchLabels: {a: b}}}]", kind: "Deployment", field: in(template, "topologySpreadConstraints", 0, "labelSelector"), want: "{matchLabels: {a: b}}"},
	{path: "priorityClassName", value: "high", kind: "Deployment", field: in(template, "priorityClassName"), want: "high"},
	{path: "dnsPolicy", value: "None", with: "dnsConfig: {nameservers: [10.0.0.2]}", kind: "Deployment", field: in(template, "dnsPolicy"), want: "None"},
	{path: "dnsConfig", value: "{options: [{name: ndots, value: '1'}, {name: edns0}], searches: [svc.cluster.local]}", kind: "Deployment", field: in(template, "dnsConfig", "options", 0, "name"), want: "ndots"},

	{path: "autoscaling.enabled", value: "true", with: hpa, mode: "scaling=hpa", kind: "Deployment", field: []any{"spec", "replicas"}, want: "null"},
	{path: "autoscaling.minReplicas", value: "3", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "minReplicas"}, want: "3"},
	{path: "autoscaling.maxReplicas", value: "20", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "maxReplicas"}, want: "20"},
	{path: "autoscaling.cooldownSeconds", value: "600", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "behavior", "scaleDown", "stabilizationWindowSeconds"}, want: "600"},
	{path: "autoscaling.backlog.metric", value: "sqs_messages_visible", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 0, "external", "metric", "name"}, want: "sqs_messages_visible"},
	{path: "autoscaling.backlog.labels", value: "{queue: predictions}", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 0, "external", "metric", "selector", "matchLabels"}, want: "{queue: predictions}"},
	{path: "autoscaling.backlog.messagesPerReplica", value: "2000000", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 0, "external", "target"}, want: "{type: AverageValue, averageValue: '2000000'}"},
	{path: "autoscaling.age.metric", value: "sqs_age", with: hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 1, "external", "metric", "name"}, want: "sqs_age"},
	{path: "autoscaling.age.labels", value: "{queue: predictions}", with: "autoscaling: {enabled: true, backlog: {metric: sqs_backlog}, age: {metric: sqs_age}}", mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 1, "external", "metric", "selector", "matchLabels"}, want: "{queue: predictions}"},
	{path: "autoscaling.age.maxAgeSeconds", value: "90", with: "autoscaling: {enabled: true, backlog: {metric: sqs_backlog}, age: {metric: sqs_age}}", mode: "scaling=hpa", kind: "HorizontalPodAutoscaler", field: []any{"spec", "metrics", 1, "external", "target"}, want: "{type: Value, value: '90'}"},
	{path: "autoscaling.objects.metric", value: "ranges", with: batches + "\n" + hpa, mode: "scaling=hpa", kind: "HorizontalPodAutoscaler"},
	{path: "autoscaling.objects.labels", value: "{queue: objects}", with: batches + "\nautoscaling: {enabled: true, backlog: {metric: sqs_backlog}, objects: {metric: ranges}}", mode: "scaling=hpa", kind: "HorizontalPodAutoscaler"},
	{path: "autoscaling.objects.rangesPerReplica", value: "8", with: batches + "\nautoscaling: {enabled: true, backlog: {metric: sqs_backlog}, objects: {metric: ranges}}", mode: "scaling=hpa", kind: "HorizontalPodAutoscaler"},

	{path: "keda.enabled", value: "true", mode: "scaling=keda", kind: "Deployment", field: []any{"spec", "replicas"}, want: "null"},
	{path: "keda.minReplicas", value: "2", with: scaled, mode: "scaling=keda", kind: "ScaledObject"},
	{path: "keda.maxReplicas", value: "7", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "maxReplicaCount"}, want: "7"},
	{path: "keda.scaleToZero", value: "true", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "minReplicaCount"}, want: "0"},
	{path: "keda.messagesPerReplica", value: "2000000", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "triggers", 0, "metadata", "queueLength"}, want: "'2000000'"},
	{path: "keda.maxAgeSeconds", value: "90", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "triggers", 1, "metadata", "targetMetricValue"}, want: "'90'"},
	{path: "keda.rangesPerReplica", value: "8", with: batches + "\n" + scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "triggers", 2, "metadata", "queueLength"}, want: "'8'"},
	{path: "keda.pollingIntervalSeconds", value: "10", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "pollingInterval"}, want: "10"},
	{path: "keda.cooldownSeconds", value: "60", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "cooldownPeriod"}, want: "60"},
	{path: "keda.fallbackReplicas", value: "5", with: scaled, mode: "scaling=keda", kind: "ScaledObject", field: []any{"spec", "fallback", "replicas"}, want: "5"},

	{path: "podDisruptionBudget.enabled", value: "false", mode: "budget=off", kind: "Deployment"},
	{path: "podDisruptionBudget.maxUnavailable", value: "25%", mode: "budget=on", kind: "PodDisruptionBudget", field: []any{"spec", "maxUnavailable"}, want: "25%"},
	{path: "networkPolicy.enabled", value: "false", mode: "policy=off", kind: "Deployment"},
	{path: "networkPolicy.metricsFrom", value: "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, podSelector: {matchLabels: {app: prometheus}}}]", kind: "Deployment"},
	{path: "networkPolicy.awsCidrs", value: "[10.0.0.0/8, 'fd00::/8']", kind: "Deployment"},
	{path: "networkPolicy.awsPorts", value: "[443, 4566]", kind: "Deployment"},
	{path: "networkPolicy.dnsTo", value: "[{ipBlock: {cidr: 10.0.0.2/32}}]", kind: "Deployment"},
	{path: "networkPolicy.tracesTo", value: "[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.255.255.255/32]}}]", with: collector, kind: "Deployment"},
	{path: "networkPolicy.extraIngress", value: "[{from: [{podSelector: {}}], ports: [{port: 15090, protocol: TCP}]}]", kind: "Deployment"},
	{path: "networkPolicy.extraEgress", value: "[{to: [{namespaceSelector: {}}], ports: [{port: 8000, endPort: 8100}]}]", kind: "Deployment"},

	{path: "metricsService.enabled", value: "true", kind: "Service", field: []any{"spec", "clusterIP"}, want: "None"},
	{path: "metricsService.annotations", value: "{prometheus.io/scrape: 'true'}", with: "metricsService: {enabled: true}", kind: "Service", field: []any{"metadata", "annotations", "prometheus.io/scrape"}, want: "'true'"},
}

func init() {
	for path, kind := range map[string]string{"podMonitor": "PodMonitor", "serviceMonitor": "ServiceMonitor"} {
		endpoint := map[string][]any{"podMonitor": {"spec", "podMetricsEndpoints", 0}, "serviceMonitor": {"spec", "endpoints", 0}}[path]
		on, mode := path+": {enabled: true}", "monitor="+kind
		chartVariants = append(chartVariants,
			variant{path: path + ".enabled", value: "true", mode: mode, kind: kind, field: in(endpoint, "path"), want: "/metrics"},
			variant{path: path + ".interval", value: "30s", with: on, mode: mode, kind: kind, field: in(endpoint, "interval"), want: "30s"},
			variant{path: path + ".scrapeTimeout", value: "5s", with: on, mode: mode, kind: kind, field: in(endpoint, "scrapeTimeout"), want: "5s"},
			variant{path: path + ".labels", value: "{release: prometheus}", with: on, mode: mode, kind: kind, field: []any{"metadata", "labels", "release"}, want: "prometheus"},
			variant{path: path + ".relabelings", value: "[{action: labeldrop, regex: pod}]", with: on, mode: mode, kind: kind, field: in(endpoint, "relabelings", 0, "regex"), want: "pod"},
			variant{path: path + ".metricRelabelings", value: "[{action: drop, sourceLabels: [__name__], regex: go_.*}]", with: on, mode: mode, kind: kind, field: in(endpoint, "metricRelabelings", 0, "action"), want: "drop"},
		)
	}
	on := "prometheusRule: {enabled: true}"
	chartVariants = append(chartVariants,
		variant{path: "prometheusRule.enabled", value: "true", kind: "PrometheusRule", field: []any{"spec", "groups", 0, "name"}, want: "predcache"},
		variant{path: "prometheusRule.labels", value: "{release: prometheus}", with: on, kind: "PrometheusRule", field: []any{"metadata", "labels", "release"}, want: "prometheus"},
		variant{path: "prometheusRule.disabled", value: "[PredcacheRejects]", with: on, kind: "PrometheusRule"},
		variant{path: "extraObjects", value: "[{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-more'}, data: {a: b}}]", kind: "ConfigMap", field: []any{"metadata", "name"}, want: "cache-more"},
		variant{path: "extraObjects", value: "[\"apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: '{{ include \\\"predcache.fullname\\\" . }}-text'}\"]", kind: "ConfigMap", field: []any{"apiVersion"}, want: "v1"},
	)
}

// excludes tells that two variants can't be in one release.
func (v variant) excludes(other variant) bool {
	for mode := range strings.FieldsSeq(v.mode) {
		kind, _, _ := strings.Cut(mode, "=")
		for have := range strings.FieldsSeq(other.mode) {
			if strings.HasPrefix(have, kind+"=") && have != mode {
				return true
			}
		}
	}
	return v.path == other.path
}

// check reports where the value doesn't show.
func (v variant) check(t *testing.T, all map[string]object) {
	t.Helper()
	if all[v.kind] == nil {
		t.Errorf("%s %s: there is no %s", v.path, v.value, v.kind)
	}
	if v.want == "" {
		return
	}
	var want any
	if err := yaml.Unmarshal([]byte(v.want), &want); err != nil {
		t.Fatal(err)
	}
	same(t, fmt.Sprintf("%s %s: %v", v.path, v.value, v.field), at(all[v.kind], v.field...), want)
}

// values are those of the variants, with what they need.
func values(t *testing.T, variants ...variant) object {
	t.Helper()
	all := object{"worker": object{"queueUrl": queueURL, "tableName": "predictions"}}
	for _, v := range variants {
		mergeYAML(t, all, v.with)
	}
	for _, v := range variants {
		names := strings.Split(v.path, ".")
		mergeYAML(t, all, strings.Join(names, ": {")+": "+v.value+strings.Repeat("}", len(names)-1))
	}
	return all
}

func mergeYAML(t *testing.T, into object, text string) {
	t.Helper()
	var from object
	if err := yaml.Unmarshal([]byte(text), &from); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	mergeValues(into, from)
}

func mergeValues(into, from object) {
	for name, value := range from {
		have, isObject := into[name].(object)
		more, canMerge := value.(object)
		if isObject && canMerge {
			mergeValues(have, more)
		} else {
			into[name] = value
		}
	}
}

// copyChart copies the chart, with the alerts in place of the link to them.
func copyChart(t *testing.T, into string) {
	t.Helper()
	alerts, err := os.ReadFile(chart + "/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(into, "files/alerts.yaml")
	if err := errors.Join(os.CopyFS(into, os.DirFS(chart)), os.Remove(link), os.WriteFile(link, alerts, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// helmAll runs helm template once for many sets of values: the chart is a dependency of a chart that has one alias for each.
func helmAll(t *testing.T, sets map[string]object) (stdout, stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	copyChart(t, filepath.Join(dir, "charts/predcache"))
	var dependencies []object
	for _, alias := range slices.Sorted(maps.Keys(sets)) {
		dependencies = append(dependencies, object{"name": "predcache", "version": "0.0.0", "alias": alias})
	}
	for name, content := range map[string]any{"Chart.yaml": object{"apiVersion": "v2", "name": "all", "version": "0.0.0", "dependencies": dependencies}, "values.yaml": sets} {
		text, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return command{}.run(t, tool(t, "helm"), "template", "cache", dir, "--namespace", "ml")
}

// renderAll renders the chart with each set of values, has kubeconform check all objects, and returns them by set and kind.
func renderAll(t *testing.T, sets map[string]object) map[string]map[string]object {
	t.Helper()
	text, stderr, err := helmAll(t, sets)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, stderr)
	}
	command{stdin: text}.must(t, tool(t, "kubeconform"), "-strict", "-schema-location", schemas)
	all := map[string]map[string]object{}
	for part := range strings.SplitSeq(text, "\n# Source: all/charts/") {
		alias, _, _ := strings.Cut(part, "/")
		documents := yaml.NewDecoder(strings.NewReader("# " + part))
		for {
			var o object
			if err := documents.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			kind, _ := o["kind"].(string)
			if kind == "" {
				continue
			}
			if all[alias] == nil {
				all[alias] = map[string]object{}
			}
			if all[alias][kind] != nil {
				t.Errorf("%s has two objects of the kind %s", alias, kind)
			}
			all[alias][kind] = o
		}
	}
	if len(all) != len(sets) {
		t.Fatalf("%d sets of values rendered, not %d", len(all), len(sets))
	}
	return all
}

// Each value alone.
func TestChartEachValue(t *testing.T) {
	t.Parallel()
	sets := map[string]object{}
	for i, v := range chartVariants {
		sets[fmt.Sprintf("v%03d", i)] = values(t, v)
	}
	for alias, all := range renderAll(t, sets) {
		var i int
		if _, err := fmt.Sscanf(alias, "v%d", &i); err != nil {
			t.Fatal(err)
		}
		chartVariants[i].check(t, all)
	}
	used := map[string]bool{}
	for _, v := range chartVariants {
		used[v.path] = true
	}
	for _, v := range chartValues(t) {
		if !used[v.path] {
			t.Errorf("no variant has %s", v.path)
		}
		delete(used, v.path)
	}
	for path := range used {
		t.Errorf("values.yaml has no %s", path)
	}
}

// pairs are releases that have half of all values each, so that every pair of values that may be together is in one of them.
func pairs() map[string][]variant {
	type pair struct{ a, b int }
	missing := map[pair]bool{}
	for a := range chartVariants {
		for b := range a {
			if !chartVariants[a].excludes(chartVariants[b]) {
				missing[pair{a, b}] = true
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	releases := map[string][]variant{}
	for len(missing) > 0 {
		var chosen []int
		add := func(i int) {
			excluded := func(j int) bool { return chartVariants[i].excludes(chartVariants[j]) }
			if !slices.Contains(chosen, i) && !slices.ContainsFunc(chosen, excluded) {
				chosen = append(chosen, i)
			}
		}
		// Begin with a pair that is missing, so that every release covers one at least.
		first := slices.MinFunc(slices.Collect(maps.Keys(missing)), func(x, y pair) int { return (x.a-y.a)*1000 + x.b - y.b })
		add(first.a)
		add(first.b)
		for _, i := range random.Perm(len(chartVariants))[:len(chartVariants)/2] {
			add(i)
		}
		alias := fmt.Sprintf("v%03d", len(releases))
		for _, i := range chosen {
			releases[alias] = append(releases[alias], chartVariants[i])
			for _, j := range chosen {
				delete(missing, pair{i, j})
			}
		}
	}
	return releases
}

func TestChartPairsOfValues(t *testing.T) {
	t.Parallel()
	releases, sets := pairs(), map[string]object{}
	for alias, variants := range releases {
		sets[alias] = values(t, variants...)
	}
	t.Logf("%d releases", len(releases))
	for alias, all := range renderAll(t, sets) {
		for _, v := range releases[alias] {
			v.check(t, all)
		}
	}
}
