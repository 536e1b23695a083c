{{/* Names, labels, and what several templates need to agree on. */}}

{{- define "rolewright.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rolewright.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "rolewright.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rolewright.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rolewright.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rolewright.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rolewright.labels" -}}
{{ include "rolewright.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: controller
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "rolewright.serviceAccountName" -}}
{{- default (include "rolewright.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "rolewright.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The Secrets of the Role, as JSON: those of `secrets.names`, and those that `users.list` names. */}}
{{- define "rolewright.secretNames" -}}
{{- $names := concat .Values.secrets.names (include "rolewright.generatedNames" . | fromJsonArray) }}
{{- if .Values.users.create }}
{{- range .Values.users.list }}
{{- if ne (toString (default "" .password)) "none" }}
{{- $secret := default dict .secret }}
{{- $names = append $names (default (printf "user-%s-secret" .username) $secret.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The Secrets that may be written, as JSON: those of `secrets.generated`, and of users in `users.list` with `generate`. */}}
{{- define "rolewright.generatedNames" -}}
{{- $names := .Values.secrets.generated }}
{{- if .Values.users.create }}
{{- range .Values.users.list }}
{{- if .generate }}
{{- $secret := default dict .secret }}
{{- $names = append $names (default (printf "user-%s-secret" .username) $secret.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}

{{/* A list of roles as PROTECTED_ROLES wants it: a name with a comma, quote or space stands in double quotes. */}}
{{- define "rolewright.roleList" -}}
{{- $names := list }}
{{- range . }}
{{- if regexMatch "[\",\\s]" . }}
{{- $names = append $names (printf "\"%s\"" (replace "\"" "\"\"" .)) }}
{{- else }}
{{- $names = append $names . }}
{{- end }}
{{- end }}
{{- join "," $names }}
{{- end }}

{{/* Labels as TARGET_LABELS takes them, in the order of their keys. */}}
{{- define "rolewright.labelList" -}}
{{- $labels := list }}
{{- range $key, $value := . }}
{{- $labels = append $labels (printf "%s=%s" $key $value) }}
{{- end }}
{{- join "," $labels }}
{{- end }}

{{/* The alerts, with the thresholds of the values. */}}
{{- define "rolewright.alerts" -}}
{{- $rule := .Values.prometheusRule }}
{{- $selector := default (printf "namespace=\"%s\",job=\"%s\"" .Release.Namespace (include "rolewright.fullname" .)) $rule.selector }}
{{- $text := .Files.Get "files/alerts.yaml" }}
{{- range $name, $value := merge (dict "selector" $selector) $rule }}
{{- $text = replace (printf "${%s}" $name) (toString $value) $text }}
{{- end }}
{{- if contains "${" $text }}
{{- fail (printf "files/alerts.yaml has a placeholder without a value: %s" (regexFind "[$][{][^}]*[}]" $text)) }}
{{- end }}
{{- $text }}
{{- end }}
