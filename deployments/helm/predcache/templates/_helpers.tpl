{{/* The chart's name, as objects and labels have it. */}}
{{- define "predcache.name" -}}
{{- .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* The name of every object. */}}
{{- define "predcache.fullname" -}}
{{- $name := include "predcache.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "predcache.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "predcache.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "predcache.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* The labels that select the pods. They can't change after the first install. */}}
{{- define "predcache.selector" -}}
app.kubernetes.io/name: {{ include "predcache.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels that the chart reserves, which values can't replace. */}}
{{- define "predcache.reservedLabels" -}}
{{ include "predcache.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The labels of an object or pod: (dict "root" . "labels" MORE). */}}
{{- define "predcache.labels" -}}
{{- $version := .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | trimAll "-_." }}
{{- $replaceable := dict "app.kubernetes.io/component" "worker" "app.kubernetes.io/version" $version }}
{{- toYaml (merge (include "predcache.reservedLabels" .root | fromYaml) (.labels | default dict) .root.Values.commonLabels $replaceable) }}
{{- end }}

{{/* The metadata of an object: (dict "root" . "name" NAME "labels" MORE "annotations" MORE), all but the root optional. */}}
{{- define "predcache.metadata" -}}
name: {{ .name | default (include "predcache.fullname" .root) }}
namespace: {{ include "predcache.namespace" .root }}
labels:
  {{- include "predcache.labels" . | nindent 2 }}
{{- with merge dict (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The values of these names that aren't empty, as fields of the same names: (list . NAME…). */}}
{{- define "predcache.fields" -}}
{{- $fields := dict }}
{{- range $name := rest . }}
{{- with get (first $).Values $name }}{{ $_ := set $fields $name . }}{{ end }}
{{- end }}
{{- with $fields }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "predcache.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{/* A quantity of Kubernetes as a number: 512Mi is 536870912, 250m is 0.25. Empty if it is none. */}}
{{- define "predcache.quantity" -}}
{{- $text := toString . }}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 }}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?$" $text }}{{ float64 $text }}
{{- else if regexMatch "^[0-9]+(\\.[0-9]+)?([mkMGT]|[KMGT]i)$" $text }}{{ mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[a-zA-Z]+$" $text)) }}
{{- end }}
{{- end }}

{{/* Memory in MiB that the worker may take (docs/guarantees.md, Memory): what it holds and a third, 2 MiB for each write under
way, 64 bytes for each remembered key, and 100 MiB for the rest. With batch outputs, also the rows that it holds and a third, and
2 MiB for each write and for each range of theirs. */}}
{{- define "predcache.memory" -}}
{{- $held := get .Values.worker.settings "MAX_HELD_BYTES" | default 104857600 | float64 }}
{{- $writes := get .Values.worker.settings "WRITE_CONCURRENCY" | default 8 | float64 }}
{{- $keys := get .Values.worker.settings "DEDUP_WINDOW" | default 100000 | float64 }}
{{- $objects := 0.0 }}
{{- if .Values.worker.objectsQueueUrl }}
{{- $rows := get .Values.worker.settings "OBJECTS_MAX_BYTES" | default 50331648 | float64 }}
{{- $rowWrites := get .Values.worker.settings "OBJECTS_WRITE_CONCURRENCY" | default (divf $writes 2) | float64 }}
{{- $ranges := get .Values.worker.settings "OBJECTS_CONCURRENCY" | default 8 | float64 }}
{{- $objects = addf (divf (mulf $rows 4) 3 1048576) (mulf $rowWrites 2) (mulf $ranges 2) }}
{{- end }}
{{- addf (divf (mulf $held 4) 3 1048576) (mulf $writes 2) (divf (mulf $keys 64) 1048576) $objects 100 | ceil | int64 }}
{{- end }}

{{/* Whether worker.extraEnv has a variable: (list . NAME). */}}
{{- define "predcache.hasVariable" -}}
{{- $name := index . 1 }}
{{- range (index . 0).Values.worker.extraEnv }}{{ if eq .name $name }}true{{ end }}{{ end }}
{{- end }}

{{/* Ports of the OpenTelemetry collectors that worker.extraEnv names, as a JSON list. Those in the pod need no way out. */}}
{{- define "predcache.tracesPorts" -}}
{{- $ports := list }}
{{- range .Values.worker.extraEnv }}
{{- if has .name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") }}
{{- $endpoint := toString (.value | default "") }}
{{- if not $endpoint }}{{ $ports = concat $ports (list 4317 4318) }}
{{- else if regexMatch "^([a-z]+://)?(localhost|127\\.0\\.0\\.1|\\[::1\\])(:|/|$)" $endpoint }}
{{- else if regexMatch ":[0-9]+(/.*)?$" $endpoint }}{{ $ports = append $ports (regexReplaceAll "^.*:([0-9]+)(/.*)?$" $endpoint "${1}" | int) }}
{{- else if hasPrefix "https://" $endpoint }}{{ $ports = append $ports 443 }}
{{- else }}{{ $ports = append $ports 80 }}
{{- end }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/* The region: that of the value, or the one in the queue's URL, which may be that of a VPC endpoint, of FIPS, dual-stack or
legacy ("Amazon SQS endpoints and quotas", AWS General Reference). Empty if there is none. */}}
{{- define "predcache.region" -}}
{{- $url := .Values.worker.queueUrl }}
{{- if .Values.aws.region }}{{ .Values.aws.region }}
{{- else if regexMatch "^https://([a-z0-9-]+\\.)?sqs(-fips)?\\.[a-z]{2,}(-[a-z]+)+-[0-9]+\\." $url }}{{ regexReplaceAll "^https://(?:[a-z0-9-]+\\.)?sqs(?:-fips)?\\.([a-z0-9-]+)\\..*$" $url "${1}" }}
{{- else if regexMatch "^https://[a-z]{2,}(-[a-z]+)+-[0-9]+\\.queue\\." $url }}{{ regexReplaceAll "^https://([a-z0-9-]+)\\..*$" $url "${1}" }}
{{- end }}
{{- end }}

{{/* Seconds that preStop sleeps. */}}
{{- define "predcache.preStopSeconds" -}}
{{- dig "preStop" "sleep" "seconds" 0 .Values.lifecycle | int64 }}
{{- end }}

{{/* The grace period: the drain, 10 s in hand, and what preStop sleeps before SIGTERM. */}}
{{- define "predcache.gracePeriod" -}}
{{- .Values.terminationGracePeriodSeconds | default (add .Values.worker.drainTimeoutSeconds 10 (include "predcache.preStopSeconds" .)) | int64 }}
{{- end }}

{{/* How fast replicas may change, for KEDA as for the HorizontalPodAutoscaler, from the cooldown in seconds. */}}
{{- define "predcache.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 100
      periodSeconds: 60
    - type: Pods
      value: 4
      periodSeconds: 60
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ . }}
  policies:
    - type: Percent
      value: 25
      periodSeconds: 60
{{- end }}

{{/* A metric of the HorizontalPodAutoscaler: (list VALUES TYPE TARGET). Empty if the values name none. */}}
{{- define "predcache.externalMetric" -}}
{{- with index . 0 }}{{ if .metric }}
- type: External
  external:
    metric:
      name: {{ .metric }}
      {{- with .labels }}
      selector:
        matchLabels:
          {{- toYaml . | nindent 10 }}
      {{- end }}
    target:
      type: {{ index $ 1 }}
      {{ index $ 1 | untitle }}: {{ index $ 2 | int64 | quote }}
{{- end }}{{ end }}
{{- end }}

{{/* An endpoint of a PodMonitor or ServiceMonitor, from its values. */}}
{{- define "predcache.endpoint" -}}
port: http
path: /metrics
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A duration of Prometheus in milliseconds: 15s is 15000. */}}
{{- define "predcache.milliseconds" -}}
{{- mul (regexFind "^[0-9]+" .) (get (dict "ms" 1 "s" 1000 "m" 60000) (regexFind "[a-z]+$" .)) }}
{{- end }}

{{/* One of extraObjects as YAML, its templates rendered: (dict "root" . "object" OBJECT). */}}
{{- define "predcache.extraObject" -}}
{{- tpl (kindIs "string" .object | ternary .object (toYaml .object)) .root }}
{{- end }}
