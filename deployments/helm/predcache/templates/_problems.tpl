{{/* Values that the schema accepts one by one, but that don't work together. Each problem is a line: the path of the value, what is
wrong, and the remedy. All of them are reported at once. */}}

{{- define "predcache.validate" -}}
{{- with include "predcache.problems" . | trim }}{{ fail (printf "these values don't work:\n%s" .) }}{{ end }}
{{- end }}

{{- define "predcache.problems" -}}
{{- include "predcache.workerProblems" . }}
{{- include "predcache.resourceProblems" . }}
{{- include "predcache.scalingProblems" . }}
{{- include "predcache.podProblems" . }}
{{- include "predcache.labelProblems" . }}
{{- include "predcache.objectProblems" . }}
{{- end }}

{{- define "predcache.workerProblems" -}}
{{- with .Values.worker }}
{{- if not .queueUrl }}
- worker.queueUrl is required: the URL of the queue to consume
{{- end }}
{{- if not .tableName }}
- worker.tableName is required: the name of the table to write
{{- end }}
{{- if and .objects (not .objectsQueueUrl) }}
- worker.objects is set, but worker.objectsQueueUrl is not: set the URL of the queue with S3's events
{{- end }}
{{- if and .objectsQueueUrl (not .objects) }}
- worker.objects is required with worker.objectsQueueUrl: the buckets and beginnings of keys that may be read
{{- end }}
{{- range .extraEnv }}
{{- if hasPrefix "WORKER_" .name }}
- worker.extraEnv has {{ .name }}: give the worker's settings in worker.settings, without WORKER_
{{- end }}
{{- if and (eq .name "AWS_REGION") $.Values.aws.region }}
- worker.extraEnv has AWS_REGION beside aws.region: leave one out
{{- end }}
{{- end }}
{{- $wait := .settings.RECEIVE_WAIT | default "" }}
{{- /* Durations of several units, like 1m0s, are left to the worker. */}}
{{- if regexMatch "^[0-9]+m?s$" $wait }}
{{- if lt (mul .drainTimeoutSeconds 1000) (add (include "predcache.milliseconds" $wait | int64) 3000) }}
- worker.drainTimeoutSeconds is {{ .drainTimeoutSeconds }}, under worker.settings.RECEIVE_WAIT of {{ $wait }} and 3 s more: raise worker.drainTimeoutSeconds, or lower worker.settings.RECEIVE_WAIT
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.aws.identity "irsa") .Values.serviceAccount.create (not .Values.aws.roleArn) }}
- aws.roleArn is required with aws.identity of irsa, if the chart creates the service account
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
- serviceAccount.name is required if serviceAccount.create is false
{{- end }}
{{- end }}

{{- define "predcache.resourceProblems" -}}
{{- $need := include "predcache.memory" . }}
{{- with dig "limits" "memory" "" .Values.resources }}
{{- if lt (include "predcache.quantity" . | float64) (mulf (float64 $need) 1048576) }}
- resources.limits.memory is {{ . }}, but the worker may take {{ $need }}Mi (docs/guarantees.md, Memory): raise the limit, or lower worker.settings.MAX_HELD_BYTES
{{- end }}
{{- end }}
{{- end }}

{{- define "predcache.scalingProblems" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled }}
- autoscaling.enabled and keda.enabled: two autoscalers would fight over the replicas. Enable one
{{- end }}
{{- range $name := list "autoscaling" "keda" }}
{{- with get $.Values $name }}
{{- if and .enabled (not (kindIs "invalid" $.Values.replicas)) }}
- replicas is {{ $.Values.replicas }}, but {{ $name }}.enabled scales the workers: remove replicas, and set {{ $name }}.minReplicas
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
- {{ $name }}.minReplicas is {{ .minReplicas }}, over {{ $name }}.maxReplicas of {{ .maxReplicas }}: lower one or raise the other
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (not (or .backlog.metric .age.metric)) }}
- autoscaling.backlog.metric or autoscaling.age.metric is required with autoscaling.enabled: the name of the metric that the adapter serves
{{- end }}
{{- if and .objects.metric (not $.Values.worker.objectsQueueUrl) }}
- autoscaling.objects.metric is set, but worker.objectsQueueUrl is not: the worker would read no objects
{{- end }}
{{- end }}
{{- if and .Values.keda.enabled .Values.worker.queueUrl (not (include "predcache.region" .)) }}
- aws.region is required with keda.enabled: worker.queueUrl ({{ .Values.worker.queueUrl }}) names no region
{{- end }}
{{- end }}

{{- define "predcache.podProblems" -}}
{{- $rolling := .Values.strategy.rollingUpdate | default dict }}
{{- if and (eq .Values.strategy.type "RollingUpdate") (has (toString $rolling.maxSurge) (list "0" "0%")) (has (toString $rolling.maxUnavailable) (list "0" "0%")) }}
- strategy.rollingUpdate.maxSurge and strategy.rollingUpdate.maxUnavailable are both 0: a rollout could replace no pod. Raise one
{{- end }}
{{- $sleep := include "predcache.preStopSeconds" . | int64 }}
{{- $least := add .Values.worker.drainTimeoutSeconds 5 $sleep }}
{{- with .Values.terminationGracePeriodSeconds }}
{{- if lt (int64 .) $least }}
- terminationGracePeriodSeconds is {{ . }}, but worker.drainTimeoutSeconds is {{ $.Values.worker.drainTimeoutSeconds }}{{ if $sleep }}, lifecycle.preStop sleeps {{ $sleep }} s before{{ end }}, and the worker needs 5 s to end: set at least {{ $least }}, or remove it
{{- end }}
{{- else }}
{{- with .Values.lifecycle.preStop }}
{{- if not .sleep }}
- terminationGracePeriodSeconds is required with lifecycle.preStop of another type than sleep: set at least {{ $least }} and the time that preStop takes
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.dnsPolicy "None") (not .Values.dnsConfig.nameservers) }}
- dnsConfig.nameservers is required with dnsPolicy of None
{{- end }}
{{- $spreads := list }}
{{- range $i, $spread := .Values.topologySpreadConstraints }}
{{- $key := list .topologyKey .whenUnsatisfiable }}
{{- if has $key $spreads }}
- topologySpreadConstraints[{{ $i }}] has the topologyKey and whenUnsatisfiable of another: remove one
{{- end }}
{{- $spreads = append $spreads $key }}
{{- end }}
{{- $sysctls := list }}
{{- $context := .Values.podSecurityContext | default dict }}
{{- range $i, $sysctl := $context.sysctls }}
{{- if has .name $sysctls }}
- podSecurityContext.sysctls[{{ $i }}].name is {{ .name }}, as of another: remove one
{{- end }}
{{- $sysctls = append $sysctls .name }}
{{- end }}
{{- include "predcache.securityProblems" (list "podSecurityContext" $context) }}
{{- $volumes := list }}
{{- range $i, $volume := .Values.extraVolumes }}
{{- if has .name $volumes }}
- extraVolumes[{{ $i }}].name is {{ .name }}, as of another volume: choose another
{{- end }}
{{- $volumes = append $volumes .name }}
{{- $paths := list }}
{{- range dig "projected" "sources" list $volume }}
{{- range $source := . }}
{{- range dig "items" list $source }}
{{- if has .path $paths }}
- extraVolumes[{{ $i }}].projected has the path {{ .path }} twice: choose another
{{- end }}
{{- $paths = append $paths .path }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $worker := merge (dict "name" "worker" "env" .Values.worker.extraEnv "volumeMounts" .Values.extraVolumeMounts) (pick .Values "livenessProbe" "readinessProbe" "startupProbe" "lifecycle" "resources" "securityContext") }}
{{- include "predcache.containerProblems" (dict "root" . "path" "" "container" $worker "volumes" $volumes) }}
{{- $names := list "worker" }}
{{- range $list := list "initContainers" "extraContainers" }}
{{- range $i, $container := get $.Values $list }}
{{- $path := printf "%s[%d]." $list $i }}
{{- if has .name $names }}
- {{ $path }}name is {{ .name }}, as of another container: choose another
{{- end }}
{{- $names = append $names .name }}
{{- if and (eq $list "initContainers") (not .restartPolicy) (or .lifecycle .livenessProbe .readinessProbe .startupProbe) }}
- {{ $path }}restartPolicy of Always is required for probes and lifecycle: without it, the container ends before the worker starts
{{- end }}
{{- if or .restartPolicy (eq $list "extraContainers") }}
{{- range $j, $port := .ports }}
{{- if and (eq 9090 (int .containerPort)) (eq "TCP" (.protocol | default "TCP")) }}
- {{ $path }}ports[{{ $j }}].containerPort is 9090, on which the worker listens: choose another
{{- end }}
{{- end }}
{{- end }}
{{- include "predcache.containerProblems" (dict "root" $ "path" $path "container" . "volumes" $volumes) }}
{{- end }}
{{- end }}
{{- end }}

{{/* (dict "root" . "path" PREFIX "container" CONTAINER "volumes" NAMES). The worker's prefix is empty. */}}
{{- define "predcache.containerProblems" -}}
{{- $path := .path }}
{{- with .container }}
{{- $envPath := $path | empty | ternary "worker.extraEnv" (print $path "env") }}
{{- $mountPath := $path | empty | ternary "extraVolumeMounts" (print $path "volumeMounts") }}
{{- $seen := list }}
{{- range $i, $variable := .env }}
{{- if and .value .valueFrom }}
- {{ $envPath }}[{{ $i }}] has value and valueFrom: leave one out
{{- end }}
{{- if has .name $seen }}
- {{ $envPath }} has {{ .name }} twice: leave one out
{{- end }}
{{- $seen = append $seen .name }}
{{- end }}
{{- $seen = list }}
{{- range $i, $port := .ports }}
{{- $key := list (int .containerPort) (.protocol | default "TCP") }}
{{- if has $key $seen }}
- {{ $path }}ports[{{ $i }}].containerPort is {{ .containerPort }}, as of another port: remove one
{{- end }}
{{- if and .name (has .name $seen) }}
- {{ $path }}ports[{{ $i }}].name is {{ .name }}, as of another port: choose another
{{- end }}
{{- $seen = concat $seen (list $key .name) }}
{{- end }}
{{- $seen = list }}
{{- range $i, $mount := .volumeMounts }}
{{- if not (has .name $.volumes) }}
- {{ $mountPath }}[{{ $i }}].name is {{ .name }}, but no such volume is in extraVolumes: add it
{{- end }}
{{- if has .mountPath $seen }}
- {{ $mountPath }}[{{ $i }}].mountPath is {{ .mountPath }}, as of another mount: choose another
{{- end }}
{{- $seen = append $seen .mountPath }}
{{- end }}
{{- range $name := list "livenessProbe" "readinessProbe" "startupProbe" }}
{{- $probe := get $.container $name | default dict }}
{{- $handlers := keys (pick $probe "exec" "grpc" "httpGet" "tcpSocket") | sortAlpha }}
{{- if and (ne (len $handlers) 1) (or $probe (and $path (hasKey $.container $name))) }}
- {{ $path }}{{ $name }} has {{ $handlers | join " and " | default "no handler" }}: keep one of exec, grpc, httpGet and tcpSocket, and set others to null
{{- end }}
{{- end }}
{{- $grace := include "predcache.gracePeriod" $.root | int64 }}
{{- range $hook, $handler := .lifecycle }}
{{- $sleep := dig "sleep" "seconds" 0 $handler | int64 }}
{{- if gt $sleep $grace }}
- {{ $path }}lifecycle.{{ $hook }}.sleep.seconds is {{ $sleep }}, over the grace period of {{ $grace }} s: raise terminationGracePeriodSeconds
{{- end }}
{{- end }}
{{- $requests := dig "requests" dict (.resources | default dict) }}
{{- range $name, $limit := dig "limits" dict (.resources | default dict) }}
{{- with get $requests $name }}
{{- if gt (include "predcache.quantity" . | float64) (include "predcache.quantity" $limit | float64) }}
- {{ $path }}resources.requests.{{ $name }} is {{ . }}, over {{ $path }}resources.limits.{{ $name }} of {{ $limit }}: lower the request or raise the limit
{{- end }}
{{- end }}
{{- end }}
{{- include "predcache.securityProblems" (list (print $path "securityContext") (.securityContext | default dict)) }}
{{- end }}
{{- end }}

{{/* (list PATH CONTEXT) */}}
{{- define "predcache.securityProblems" -}}
{{- $path := index . 0 }}
{{- with index . 1 }}
{{- if and .runAsNonRoot (eq "0" (toString .runAsUser)) }}
- {{ $path }}.runAsUser is 0 beside runAsNonRoot: remove one
{{- end }}
{{- if eq "false" (toString .allowPrivilegeEscalation) }}
{{- if .privileged }}
- {{ $path }}.privileged excludes allowPrivilegeEscalation of false: remove one
{{- end }}
{{- range dig "add" list (.capabilities | default dict) }}
{{- if has . (list "SYS_ADMIN" "CAP_SYS_ADMIN") }}
- {{ $path }}.capabilities.add of {{ . }} excludes allowPrivilegeEscalation of false: remove one
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "predcache.labelProblems" -}}
{{- $reserved := include "predcache.reservedLabels" . | fromYaml }}
{{- range $path := list "commonLabels" "podLabels" "podMonitor.labels" "serviceMonitor.labels" "prometheusRule.labels" }}
{{- $labels := $.Values }}
{{- range splitList "." $path }}{{ $labels = get $labels . }}{{ end }}
{{- range $name, $_ := $labels }}
{{- if hasKey $reserved $name }}
- {{ $path }} has {{ $name }}, which the chart sets: remove it{{ if eq $name "app.kubernetes.io/name" }}, and set nameOverride{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.podAnnotations }}
{{- if regexMatch "^(container\\.apparmor\\.security\\.beta|seccomp\\.security\\.alpha|container\\.seccomp\\.security\\.alpha)\\.kubernetes\\.io/" $name }}
- podAnnotations has {{ $name }}, which Kubernetes has replaced: set the profile in securityContext
{{- end }}
{{- end }}
{{- if and (or .Values.metricsService.enabled .Values.serviceMonitor.enabled) (not (regexMatch "^[a-z]" (include "predcache.fullname" .))) }}
- fullnameOverride is required: a Service can't have the name {{ include "predcache.fullname" . }}, which doesn't begin with a letter
{{- end }}
{{- end }}

{{- define "predcache.objectProblems" -}}
{{- include "predcache.networkProblems" . }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
- podMonitor.enabled and serviceMonitor.enabled: each worker would be scraped twice and counted twice. Enable one
{{- end }}
{{- range $name := list "podMonitor" "serviceMonitor" }}
{{- with get $.Values $name }}
{{- if .scrapeTimeout }}
{{- if gt (include "predcache.milliseconds" .scrapeTimeout | int64) (include "predcache.milliseconds" .interval | int64) }}
- {{ $name }}.scrapeTimeout is {{ .scrapeTimeout }}, over {{ $name }}.interval of {{ .interval }}: lower it
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $i, $object := .Values.extraObjects }}
{{- $rendered := include "predcache.extraObject" (dict "root" $ "object" .) | fromYaml }}
{{- if not (and $rendered.apiVersion $rendered.kind (dig "metadata" "name" "" $rendered)) }}
- extraObjects[{{ $i }}] has no apiVersion, kind or metadata.name once its templates are rendered
{{- end }}
{{- end }}
{{- end }}

{{- define "predcache.networkProblems" -}}
{{- $peers := dict }}
{{- with .Values.networkPolicy }}
{{- $_ := set $peers "metricsFrom" .metricsFrom }}
{{- $_ := set $peers "dnsTo" .dnsTo }}
{{- $_ := set $peers "tracesTo" .tracesTo }}
{{- range $list := list "extraIngress" "extraEgress" }}
{{- range $i, $rule := get $.Values.networkPolicy $list }}
{{- $_ := set $peers (printf "%s[%d].from" $list $i) .from }}
{{- $_ := set $peers (printf "%s[%d].to" $list $i) .to }}
{{- range $j, $port := .ports }}
{{- if and .endPort (lt (int .endPort) (int .port)) }}
- networkPolicy.{{ $list }}[{{ $i }}].ports[{{ $j }}].endPort is {{ .endPort }}, under its port of {{ .port }}: raise it
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $path, $list := $peers }}
{{- range $i, $peer := $list }}
{{- range dig "ipBlock" "except" list $peer }}
{{- if not (include "predcache.isWithin" (list . $peer.ipBlock.cidr)) }}
- networkPolicy.{{ $path }}[{{ $i }}].ipBlock.except has {{ . }}, which is not a part of {{ $peer.ipBlock.cidr }}: remove it
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether the first of two IPv4 networks is a part of the second: (list CIDR CIDR). */}}
{{- define "predcache.isWithin" -}}
{{- $inner := splitList "/" (index . 0) }}
{{- $outer := splitList "/" (index . 1) }}
{{- if and (gt (last $inner | int) (last $outer | int)) (contains "." (first $outer)) }}
{{- $size := 1 }}
{{- range until (sub 32 (last $outer | int) | int) }}{{ $size = mul $size 2 }}{{ end }}
{{- if eq (div (include "predcache.ipv4" (first $inner) | int64) $size) (div (include "predcache.ipv4" (first $outer) | int64) $size) }}true{{ end }}
{{- end }}
{{- end }}

{{/* An IPv4 address as a number. */}}
{{- define "predcache.ipv4" -}}
{{- $number := 0 }}
{{- range splitList "." . }}{{ $number = add (mul $number 256) (int64 .) }}{{ end }}
{{- $number }}
{{- end }}
