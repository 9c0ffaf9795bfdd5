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

{{/* 90 % of the memory limit: the rest is for what Go's limit doesn't count, like the kernel's buffers. */}}
{{- define "predcache.goMemLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- if .Values.goMemLimit }}{{ .Values.goMemLimit }}
{{- else if regexMatch "^[0-9]+Mi$" $limit }}{{ div (mul (trimSuffix "Mi" $limit | int64) 90) 100 }}MiB
{{- else if regexMatch "^[0-9]+Gi$" $limit }}{{ div (mul (trimSuffix "Gi" $limit | int64) 1024 90) 100 }}MiB
{{- else if $limit }}{{ fail (printf "resources.limits.memory is %s: give whole Mi or Gi, or set goMemLimit" $limit) }}
{{- end }}
{{- end }}

{{/* The region: said, or named by the queue's URL. */}}
{{- define "predcache.region" -}}
{{- .Values.aws.region | default (regexReplaceAll "^https://sqs(?:-fips)?\\.([a-z0-9-]+)\\..*$" .Values.worker.queueUrl "${1}") }}
{{- end }}
