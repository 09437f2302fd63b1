{{- define "epov.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "epov.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "epov.labels" -}}
{{ include "epov.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "epov.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* epovd.yaml: what the chart knows better than its user, and what its user says. */}}
{{- define "epov.config" -}}
{{- $tokens := list -}}
{{- range .Values.tokens -}}
{{- $tokens = append $tokens (merge (dict "pin" (dict "file" (printf "/run/pins/%s" .name)) "state_dir" (printf "/var/lib/epovd/%s" .name)) .) -}}
{{- end -}}
{{- $tls := dict "certificate" "/etc/epovd/tls/tls.crt" "key" "/etc/epovd/tls/tls.key" -}}
{{- $config := dict "listen" (printf "0.0.0.0:%v" .Values.service.port) "tls" (merge (dict "client_ca" "/etc/epovd/client-ca/ca.crt") $tls) "tokens" $tokens "keys" .Values.keys "policy" "policy.yaml" -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "metrics" (dict "listen" (printf "0.0.0.0:%v" .Values.metrics.port) "tls" (merge (dict "client_ca" "/etc/epovd/monitoring-ca/ca.crt") $tls)) -}}
{{- end -}}
{{- range $name := keys .Values.config -}}
{{- if hasKey $config $name -}}{{- fail (printf "config.%s is set by the chart" $name) -}}{{- end -}}
{{- end -}}
{{- toYaml (merge $config .Values.config) -}}
{{- end -}}
