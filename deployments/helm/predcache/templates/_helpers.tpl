{{- define "predcache.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "predcache.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "predcache.labels" -}}
{{ include "predcache.selector" . }}
app.kubernetes.io/component: worker
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "predcache.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "predcache.name" .) }}{{ else }}{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "predcache.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{/* A quantity of Kubernetes as a number: 512Mi is 536870912, 250m is 0.25. */}}
{{- define "predcache.quantity" -}}
{{- $text := toString . }}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 }}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?$" $text }}{{ float64 $text }}
{{- else if regexMatch "^[0-9]+(\\.[0-9]+)?([mkMGT]|[KMGT]i)$" $text }}{{ mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[a-zA-Z]+$" $text)) }}
{{- else }}{{ fail (printf "resources has %s, which is not a quantity like 512Mi, 1Gi or 250m" $text) }}
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

{{/* Refuses resources that the API server would refuse, or that the worker would not fit in. */}}
{{- define "predcache.checkResources" -}}
{{- $limits := .Values.resources.limits | default dict }}
{{- $requests := .Values.resources.requests | default dict }}
{{- range $name, $limit := $limits }}
{{- with get $requests $name }}
{{- if gt (include "predcache.quantity" . | float64) (include "predcache.quantity" $limit | float64) }}
{{- fail (printf "resources.requests.%s is %v, over resources.limits.%s of %v: lower the request or raise the limit" $name . $name $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $limits.memory }}
{{- $need := include "predcache.memory" $ }}
{{- if lt (include "predcache.quantity" . | float64) (mulf (float64 $need) 1048576) }}
{{- fail (printf "resources.limits.memory is %v, but the worker may take %sMi (docs/guarantees.md, Memory): raise the limit, or lower worker.settings.MAX_HELD_BYTES" . $need) }}
{{- end }}
{{- end }}
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
{{- if has .name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") }}
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

{{/* The region: given, or in the queue's URL, which may be that of a VPC endpoint, of FIPS, dual-stack or legacy ("Amazon SQS
endpoints and quotas", AWS General Reference). */}}
{{- define "predcache.region" -}}
{{- $url := .Values.worker.queueUrl }}
{{- if .Values.aws.region }}{{ .Values.aws.region }}
{{- else if regexMatch "^https://([a-z0-9-]+\\.)?sqs(-fips)?\\.[a-z]{2,}(-[a-z]+)+-[0-9]+\\." $url }}{{ regexReplaceAll "^https://(?:[a-z0-9-]+\\.)?sqs(?:-fips)?\\.([a-z0-9-]+)\\..*$" $url "${1}" }}
{{- else if regexMatch "^https://[a-z]{2,}(-[a-z]+)+-[0-9]+\\.queue\\." $url }}{{ regexReplaceAll "^https://([a-z0-9-]+)\\..*$" $url "${1}" }}
{{- else }}{{ fail (printf "aws.region is needed with keda.enabled: worker.queueUrl (%s) names no region" $url) }}
{{- end }}
{{- end }}
