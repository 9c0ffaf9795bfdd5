package deployments

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A refusal is a set of values that the chart must not take, and the problem that it must report.
type refusal struct{ values, want string }

// Values of a wrong type or form, which the schema refuses. The API server would refuse most of them, or misread them.
var wrongValues = []refusal{
	{"workers: 3", "at '': additional properties 'workers' not allowed"},
	{"worker: {settings: {TLL: 1h}}", "at '/worker/settings': additional properties 'TLL' not allowed"},
	{"worker: {settings: {TTL: soon}}", "at '/worker/settings/TTL'"},
	{"worker: {settings: {TTL: 3600}}", "at '/worker/settings/TTL': got number, want string"},
	{"worker: {settings: {ORDERING: latest}}", "value must be one of 'last-write', 'newest'"},
	{"worker: {settings: {ttl: 1h}}", "additional properties 'ttl' not allowed"},
	{"worker: {settings: {DRAIN_TIMEOUT: 1h}}", "additional properties 'DRAIN_TIMEOUT' not allowed"},
	{"worker: {queueUrl: predictions}", "at '/worker/queueUrl': 'predictions' does not match pattern"},
	{"worker: {drainTimeoutSeconds: 4}", "at '/worker/drainTimeoutSeconds': minimum"},
	{"worker: {objects: ['scores/*']}", "at '/worker/objects/0': 'scores/*' does not match pattern"},
	{"worker: {extraEnv: [{name: A, value: 4}]}", "at '/worker/extraEnv/0/value': got number, want string"},
	{"worker: {extraEnv: [{name: A, vlaue: b}]}", "at '/worker/extraEnv/0': additional properties 'vlaue' not allowed"},
	{"worker: {extraEnv: [{name: A=B, value: c}]}", "at '/worker/extraEnv/0/name'"},
	{"worker: {extraEnv: [{name: A, valueFrom: {}}]}", "at '/worker/extraEnv/0/valueFrom': minProperties"},
	{"worker: {extraEnv: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.node}}}]}", "at '/worker/extraEnv/0/valueFrom/fieldRef/fieldPath'"},
	{"worker: {extraEnv: [{name: A, valueFrom: {secretKeyRef: {name: a}}}]}", "missing property 'key'"},
	{"worker: {extraEnvFrom: [{}]}", "at '/worker/extraEnvFrom/0': 'oneOf' failed"},
	{"nameOverride: Scores", "at '/nameOverride'"},
	{"fullnameOverride: 1scores", "at '/fullnameOverride'"},
	{"namespaceOverride: a.b", "at '/namespaceOverride'"},
	{"commonLabels: {team: 3}", "at '/commonLabels/team': got number, want string"},
	{"podLabels: {team: 'a b'}", "at '/podLabels/team': 'a b' does not match pattern"},
	{"commonAnnotations: {'a b': c}", "at '/commonAnnotations': additional properties 'a b' not allowed"},
	{"image: {repository: 'worker:v9'}", "at '/image/repository'"},
	{"image: {tag: 'v 9'}", "at '/image/tag'"},
	{"image: {digest: v9}", "at '/image/digest'"},
	{"imagePullSecrets: [registry]", "at '/imagePullSecrets/0': got string, want object"},
	{"imagePullSecrets: [{name: a}, {name: a}]", "at '/imagePullSecrets': items at 0 and 1 are equal"},
	{"replicas: many", "at '/replicas': got string, want null or integer"},
	{"aws: {roleArn: worker}", "at '/aws/roleArn': 'worker' does not match pattern"},
	{"aws: {region: Ireland}", "at '/aws/region'"},
	{"serviceAccount: {name: My Account}", "at '/serviceAccount/name'"},
	{"resources: {limits: {memory: 500MB}}", "at '/resources/limits/memory': '500MB' does not match pattern"},
	{"resources: {requests: {cpu: -1}}", "at '/resources/requests/cpu': minimum"},
	{"resources: {limits: {gpu: 1}}", "at '/resources/limits': additional properties 'gpu' not allowed"},
	{"podSecurityContext: {runAsUser: root}", "at '/podSecurityContext/runAsUser': got string, want integer"},
	{"podSecurityContext: {seccompProfile: {type: Localhost}}", "at '/podSecurityContext/seccompProfile': missing property 'localhostProfile'"},
	{"securityContext: {readOnlyRootFileSystem: true}", "at '/securityContext': additional properties 'readOnlyRootFileSystem' not allowed"},
	{"initContainers: [{name: a}]", "at '/initContainers/0': missing property 'image'"},
	{"initContainers: [{name: a, image: b, restartPolicy: Never}]", "at '/initContainers/0/restartPolicy': value must be 'Always'"},
	{"extraContainers: [{name: a, image: b, restartPolicy: Always}]", "at '/extraContainers/0': additional properties 'restartPolicy' not allowed"},
	{"extraContainers: [{name: My_Container, image: b}]", "at '/extraContainers/0/name'"},
	{"extraContainers: [{name: a, image: b, ports: [{containerPort: 70000}]}]", "at '/extraContainers/0/ports/0/containerPort': maximum"},
	{"extraVolumes: [{name: a, emptyDir: {}, secret: {secretName: b}}]", "at '/extraVolumes/0': maxProperties"},
	{"extraVolumes: [{name: a, awsElasticBlockStore: {volumeID: b}}]", "additional properties 'awsElasticBlockStore' not allowed"},
	{"extraVolumes: [{name: a, configMap: {name: b, defaultMode: 1000}}]", "at '/extraVolumes/0/configMap/defaultMode': maximum"},
	{"extraVolumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: a, expirationSeconds: 60}}]}}]", "expirationSeconds': minimum"},
	{"extraVolumeMounts: [{name: a}]", "at '/extraVolumeMounts/0': missing property 'mountPath'"},
	{"livenessProbe: {successThreshold: 2}", "at '/livenessProbe/successThreshold'"},
	{"livenessProbe: {periodSeconds: 0}", "at '/livenessProbe/periodSeconds': minimum"},
	{"livenessProbe: {httpGet: {port: metrics-of-the-worker}}", "at '/livenessProbe/httpGet/port': maxLength"},
	{"readinessProbe: {terminationGracePeriodSeconds: 5}", "at '/readinessProbe': additional properties"},
	{"lifecycle: {preStop: {sleep: {seconds: 1}, exec: {command: [a]}}}", "at '/lifecycle/preStop': maxProperties"},
	{"lifecycle: {stopSignal: SIGUSR1}", "at '/lifecycle': additional properties 'stopSignal' not allowed"},
	{"terminationGracePeriodSeconds: 0", "at '/terminationGracePeriodSeconds': minimum"},
	{"strategy: {type: BlueGreen}", "at '/strategy/type': value must be one of 'RollingUpdate', 'Recreate'"},
	{"strategy: {rollingUpdate: {maxUnavailable: 120%}}", "at '/strategy/rollingUpdate/maxUnavailable'"},
	{"minReadySeconds: 600", "at '/minReadySeconds': maximum"},
	{"nodeSelector: {gpu: false}", "at '/nodeSelector/gpu': got boolean, want string"},
	{"tolerations: [{value: a}]", "at '/tolerations/0': missing property 'key'"},
	{"tolerations: [{key: a, operator: Exists, value: b}]", "at '/tolerations/0/value'"},
	{"tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 1}]", "at '/tolerations/0/effect'"},
	{"affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{podAffinityTerm: {topologyKey: a}}]}}", "missing property 'weight'"},
	{"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}", "missing property 'values'"},
	{"topologySpreadConstraints: [{topologyKey: a}]", "missing properties 'maxSkew', 'whenUnsatisfiable'"},
	{"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, minDomains: 2}]", "at '/topologySpreadConstraints/0/whenUnsatisfiable'"},
	{"topologySpreadConstraints: [{maxSkew: 4294967296, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]", "at '/topologySpreadConstraints/0/maxSkew': maximum"},
	{"topologySpread: {enabled: false}", "additional properties 'topologySpread' not allowed"},
	{"priorityClassName: High!", "at '/priorityClassName'"},
	{"dnsPolicy: ClusterFirstWithHostNet", "at '/dnsPolicy'"},
	{"dnsConfig: {nameservers: [dns]}", "at '/dnsConfig/nameservers/0'"},
	{"autoscaling: {minReplicas: 0}", "at '/autoscaling/minReplicas': minimum"},
	{"autoscaling: {cooldownSeconds: 7200}", "at '/autoscaling/cooldownSeconds': maximum"},
	{"autoscaling: {backlog: {metric: a/b}}", "at '/autoscaling/backlog/metric'"},
	{"keda: {messagesPerReplica: 0}", "at '/keda/messagesPerReplica': minimum"},
	{"podDisruptionBudget: {maxUnavailable: 0}", "at '/podDisruptionBudget/maxUnavailable': minimum"},
	{"podDisruptionBudget: {maxUnavailable: half}", "at '/podDisruptionBudget/maxUnavailable'"},
	{"networkPolicy: {awsCidrs: [10.0.0.0/33]}", "at '/networkPolicy/awsCidrs/0'"},
	{"networkPolicy: {awsPorts: [https]}", "at '/networkPolicy/awsPorts/0': got string, want integer"},
	{"networkPolicy: {metricsFrom: [{}]}", "at '/networkPolicy/metricsFrom/0': minProperties"},
	{"networkPolicy: {tracesTo: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}", "at '/networkPolicy/tracesTo/0': maxProperties"},
	{"networkPolicy: {extraEgress: [{from: []}]}", "at '/networkPolicy/extraEgress/0': additional properties 'from' not allowed"},
	{"networkPolicy: {extraEgress: [{ports: [{endPort: 2}]}]}", "missing property 'port'"},
	{"podMonitor: {interval: often}", "at '/podMonitor/interval'"},
	{"serviceMonitor: {relabelings: [{action: remove}]}", "at '/serviceMonitor/relabelings/0/action'"},
	{"prometheusRule: {disabled: [NodeDown]}", "at '/prometheusRule/disabled/0'"},
	{"networkPolicy: {metricsFrom: []}", "at '/networkPolicy/metricsFrom': minItems"},
	{"extraVolumes: [{name: a, configMap: {name: b, items: [{key: k, path: a/../b}]}}]", "at '/extraVolumes/0/configMap/items/0/path'"},
	{"extraVolumes: [{name: a, hostPath: {path: /a/../b}}]", "at '/extraVolumes/0/hostPath/path'"},
	{"extraVolumes: [{name: a, csi: {driver: my driver}}]", "at '/extraVolumes/0/csi/driver'"},
	{"worker: {extraEnv: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1Mi}}}]}", "at '/worker/extraEnv/0/valueFrom/resourceFieldRef/divisor'"},
	{"worker: {extraEnv: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['a b']\"}}}]}", "at '/worker/extraEnv/0/valueFrom/fieldRef/fieldPath'"},
	{"worker: {extraEnvFrom: [{prefix: a=b, secretRef: {name: c}}]}", "at '/worker/extraEnvFrom/0/prefix'"},
	{"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Gt, values: ['1', '2']}]}]}}}", "matchExpressions/0/values': maxItems"},
	{"securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../a}}", "at '/securityContext/seccompProfile/localhostProfile'"},
	{"extraContainers: [{name: a, image: b, ports: [{name: '12', containerPort: 12}]}]", "at '/extraContainers/0/ports/0/name'"},
	{"extraContainers: [{name: a, image: b, ports: [{containerPort: 1, hostPort: 1}]}]", "at '/extraContainers/0/ports/0': additional properties 'hostPort' not allowed"},
	{"commonLabels: null", "at '': missing property 'commonLabels'"},
	{"keda: {enabled: null}", "at '/keda': missing property 'enabled'"},
	{"extraObjects: [3]", "at '/extraObjects/0'"},
}

// Values that exclude each other, or need others.
var wrongTogether = []refusal{
	{"worker: {queueUrl: ''}", "worker.queueUrl is required"},
	{"worker: {tableName: ''}", "worker.tableName is required"},
	{"worker: {extraEnv: [{name: WORKER_TLL, value: 1h}]}", "worker.extraEnv has WORKER_TLL: give"},
	{"worker: {extraEnv: [{name: A, value: a}, {name: A, value: b}]}", "worker.extraEnv has A twice"},
	{"worker: {extraEnv: [{name: AWS_REGION, value: a}]}\naws: {region: eu-west-1}", "worker.extraEnv has AWS_REGION beside aws.region"},
	{"worker: {extraEnv: [{name: A, value: a, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}", "worker.extraEnv[0] has value and valueFrom"},
	{"worker: {drainTimeoutSeconds: 22, settings: {RECEIVE_WAIT: 20s}}", "worker.drainTimeoutSeconds is 22, under worker.settings.RECEIVE_WAIT of 20s and 3 s more: raise"},
	{"worker: {drainTimeoutSeconds: 5, settings: {RECEIVE_WAIT: 3000ms}}", "worker.drainTimeoutSeconds is 5, under worker.settings.RECEIVE_WAIT of 3000ms"},
	{"worker: {objects: [scores/daily/]}", "worker.objectsQueueUrl is not"},
	{"worker: {objectsQueueUrl: '" + queueURL + "-objects'}", "worker.objects is required"},
	{"aws: {identity: irsa}", "aws.roleArn is required"},
	{"serviceAccount: {create: false}", "serviceAccount.name is required"},
	{"resources: {requests: {memory: 64Mi}, limits: {memory: 64Mi}}", "resources.limits.memory is 64Mi, but the worker may take 256Mi"},
	{"worker: {settings: {MAX_HELD_BYTES: 419430400}}", "resources.limits.memory is 512Mi, but the worker may take 656Mi"},
	{"worker: {objectsQueueUrl: '" + queueURL + "-objects', objects: [scores]}\nresources: {limits: {memory: 300Mi}}", "resources.limits.memory is 300Mi, but the worker may take 344Mi"},
	{"resources: {requests: {cpu: 2}, limits: {cpu: 500m}}", "resources.requests.cpu is 2, over resources.limits.cpu of 500m"},
	{"extraContainers: [{name: a, image: b, resources: {requests: {memory: 2Mi}, limits: {memory: 1Mi}}}]", "extraContainers[0].resources.requests.memory is 2Mi, over"},
	{"keda: {enabled: true}\nautoscaling: {enabled: true, age: {metric: a}}", "autoscaling.enabled and keda.enabled"},
	{"keda: {enabled: true}\nreplicas: 2", "replicas is 2, but keda.enabled scales the workers"},
	{"keda: {enabled: true, minReplicas: 11}", "keda.minReplicas is 11, over keda.maxReplicas of 10"},
	{"keda: {enabled: true}\nworker: {queueUrl: 'http://sqs.local:4566/000000000000/predictions'}", "aws.region is required with keda.enabled"},
	{"autoscaling: {enabled: true, age: {metric: a}}\nreplicas: 0", "replicas is 0, but autoscaling.enabled scales the workers"},
	{"autoscaling: {enabled: true, age: {metric: a}, minReplicas: 11}", "autoscaling.minReplicas is 11, over"},
	{"autoscaling: {enabled: true}", "autoscaling.backlog.metric or autoscaling.age.metric is required"},
	{"autoscaling: {enabled: true, age: {metric: a}, objects: {metric: b}}", "autoscaling.objects.metric is set, but worker.objectsQueueUrl is not"},
	{"strategy: {rollingUpdate: {maxSurge: 0}}", "strategy.rollingUpdate.maxSurge and strategy.rollingUpdate.maxUnavailable are both 0"},
	{"terminationGracePeriodSeconds: 25", "terminationGracePeriodSeconds is 25, but worker.drainTimeoutSeconds is 25"},
	{"terminationGracePeriodSeconds: 40\nlifecycle: {preStop: {sleep: {seconds: 60}}}", "set at least 90"},
	{"lifecycle: {preStop: {exec: {command: [a]}}}", "terminationGracePeriodSeconds is required with lifecycle.preStop"},
	{"extraContainers: [{name: a, image: b, lifecycle: {preStop: {sleep: {seconds: 60}}}}]", "extraContainers[0].lifecycle.preStop.sleep.seconds is 60, over the grace period of 35 s"},
	{"dnsPolicy: None", "dnsConfig.nameservers is required"},
	{"podSecurityContext: {runAsUser: 0}", "podSecurityContext.runAsUser is 0 beside runAsNonRoot"},
	{"securityContext: {privileged: true}", "securityContext.privileged excludes allowPrivilegeEscalation of false"},
	{"extraContainers: [{name: a, image: b, securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}}]", "extraContainers[0].securityContext.capabilities.add of SYS_ADMIN"},
	{"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]", "topologySpreadConstraints[1] has the topologyKey"},
	{"livenessProbe: {tcpSocket: {port: http}}", "livenessProbe has httpGet and tcpSocket: keep one"},
	{"startupProbe: {periodSeconds: 5}", "startupProbe has no handler"},
	{"extraContainers: [{name: a, image: b, livenessProbe: {}}]", "extraContainers[0].livenessProbe has no handler"},
	{"initContainers: [{name: a, image: b, readinessProbe: {exec: {command: [c]}}}]", "initContainers[0].restartPolicy of Always is required"},
	{"extraContainers: [{name: worker, image: b}]", "extraContainers[0].name is worker, as of another container"},
	{"initContainers: [{name: a, image: b}]\nextraContainers: [{name: a, image: b}]", "extraContainers[0].name is a, as of another container"},
	{"extraContainers: [{name: a, image: b, ports: [{containerPort: 9090}]}]", "extraContainers[0].ports[0].containerPort is 9090"},
	{"extraContainers: [{name: a, image: b, ports: [{containerPort: 1}, {containerPort: 1, protocol: TCP}]}]", "extraContainers[0].ports[1].containerPort is 1, as of another"},
	{"extraVolumes: [{name: a}, {name: a}]", "extraVolumes[1].name is a, as of another volume"},
	{"extraVolumeMounts: [{name: a, mountPath: /a}]", "extraVolumeMounts[0].name is a, but no such volume"},
	{"extraVolumes: [{name: a}]\nextraVolumeMounts: [{name: a, mountPath: /a}, {name: a, mountPath: /a}]", "extraVolumeMounts[1].mountPath is /a, as of another"},
	{"extraContainers: [{name: a, image: b, volumeMounts: [{name: c, mountPath: /c}]}]", "extraContainers[0].volumeMounts[0].name is c, but no such volume"},
	{"commonLabels: {app.kubernetes.io/name: scores}", "commonLabels has app.kubernetes.io/name, which the chart sets: remove it, and set nameOverride"},
	{"podMonitor: {labels: {helm.sh/chart: a}}", "podMonitor.labels has helm.sh/chart, which the chart sets"},
	{"podMonitor: {enabled: true}\nserviceMonitor: {enabled: true}", "podMonitor.enabled and serviceMonitor.enabled"},
	{"podMonitor: {interval: 1m, scrapeTimeout: 90s}", "podMonitor.scrapeTimeout is 90s, over podMonitor.interval of 1m"},
	{"networkPolicy: {extraEgress: [{ports: [{port: 9, endPort: 8}]}]}", "networkPolicy.extraEgress[0].ports[0].endPort is 8, under its port of 9"},
	{"networkPolicy: {metricsFrom: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}", "networkPolicy.metricsFrom[0].ipBlock.except has 11.0.0.0/16, which is not a part of 10.0.0.0/8"},
	{"networkPolicy: {extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}", "networkPolicy.extraEgress[0].to[0].ipBlock.except has 10.0.0.0/8"},
	{"lifecycle: {postStart: {sleep: {seconds: 60}}}", "lifecycle.postStart.sleep.seconds is 60, over the grace period of 35 s"},
	{"podAnnotations: {container.apparmor.security.beta.kubernetes.io/worker: runtime/default}", "set the profile in securityContext"},
	{"podSecurityContext: {sysctls: [{name: a, value: b}, {name: a, value: c}]}", "podSecurityContext.sysctls[1].name is a, as of another"},
	{"extraVolumes: [{name: a, projected: {sources: [{configMap: {name: b, items: [{key: c, path: d}]}}, {secret: {name: e, items: [{key: f, path: d}]}}]}}]", "extraVolumes[0].projected has the path d twice"},
	{"extraObjects: [{kind: ConfigMap}]", "extraObjects[0] has no apiVersion, kind or metadata.name"},
}

// schemaReports has what the schema refuses in each set of values, by a run of helm that failed.
func schemaReports(stderr string) map[string]string {
	reports := map[string]string{}
	for _, report := range regexp.MustCompile(`(?m)^(v\d+):\n((?:[- ].*\n)*)`).FindAllStringSubmatch(stderr, -1) {
		reports[report[1]] = report[2]
	}
	return reports
}

// problems has the problems of each set of values, in one run of helm: a chart with the same helpers prints them.
func problems(t *testing.T, sets map[string]object) map[string]string {
	t.Helper()
	dir := t.TempDir()
	copyChart(t, dir)
	templates, err := filepath.Glob(dir + "/templates/[^_]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(templates, dir+"/values.schema.json") {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	full := map[string]object{}
	for name, set := range sets {
		var defaults object
		readYAML(t, chart+"/values.yaml", &defaults)
		mergeValues(defaults, set)
		withoutNulls(defaults)
		full[name] = defaults
	}
	text, err := yaml.Marshal(object{"sets": full})
	if err != nil {
		t.Fatal(err)
	}
	const template = `{{ range $name, $set := .Values.sets }}
{{ $name }}: {{ include "predcache.problems" (dict "Values" $set "Template" $.Template "Chart" $.Chart "Release" $.Release "Capabilities" $.Capabilities) | trim | toJson }}
{{- end }}`
	for name, content := range map[string]string{"/sets.yaml": string(text), "/templates/problems.yaml": template} {
		if err := os.WriteFile(dir+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var reports map[string]string
	out := command{}.must(t, tool(t, "helm"), "template", "cache", dir, "--values", dir+"/sets.yaml")
	if err := yaml.Unmarshal([]byte(out), &reports); err != nil {
		t.Fatal(err)
	}
	if len(reports) != len(sets) {
		t.Fatalf("%d reports on %d sets of values", len(reports), len(sets))
	}
	return reports
}

// withoutNulls removes the fields that are null, as helm does.
func withoutNulls(values object) {
	maps.DeleteFunc(values, func(_ string, value any) bool {
		if fields, ok := value.(object); ok {
			withoutNulls(fields)
		}
		return value == nil
	})
}

// sets has the refusals' values, with the two that are required.
func sets(t *testing.T, refusals []refusal) map[string]object {
	t.Helper()
	all := map[string]object{}
	for i, c := range refusals {
		set := values(t)
		mergeYAML(t, set, c.values)
		all[fmt.Sprintf("v%03d", i)] = set
	}
	return all
}

func reported(t *testing.T, refusals []refusal, reports map[string]string) {
	t.Helper()
	for i, c := range refusals {
		if report := reports[fmt.Sprintf("v%03d", i)]; !strings.Contains(report, c.want) {
			t.Errorf("%s: the report is %q, without %q", c.values, report, c.want)
		}
	}
}

func TestChartRefusesWrongValues(t *testing.T) {
	t.Parallel()
	_, stderr, err := helmAll(t, sets(t, wrongValues))
	if err == nil {
		t.Fatal("helm template takes wrong values")
	}
	reported(t, wrongValues, schemaReports(stderr))
}

func TestChartRefusesWhatDoesNotWorkTogether(t *testing.T) {
	t.Parallel()
	all := sets(t, wrongTogether)
	all["none"] = values(t)
	reports := problems(t, all)
	if reports["none"] != "" {
		t.Errorf("good values have problems: %s", reports["none"])
	}
	reported(t, wrongTogether, reports)
}

// A user sees all problems at once.
func TestChartReportsEveryProblem(t *testing.T) {
	_, stderr, err := command{}.run(t, tool(t, "helm"), "template", "cache", chart, "--set", "keda.enabled=true,replicas=3,serviceAccount.create=false")
	for _, want := range []string{"these values don't work:\n- worker.queueUrl is required", "\n- worker.tableName is required", "\n- replicas is 3", "\n- serviceAccount.name is required"} {
		if err == nil || !strings.Contains(stderr, want) {
			t.Errorf("helm template: %v\n%s\nwithout %q", err, stderr, want)
		}
	}
}
