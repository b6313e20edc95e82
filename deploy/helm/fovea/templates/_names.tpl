{{- define "fovea.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels that select one component's pods; `.component` is its name. */}}
{{- define "fovea.selector" -}}
app.kubernetes.io/name: fovea
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "fovea.labels" -}}
{{ include "fovea.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "fovea.image" -}}
{{- with get .root.Values.image.digests .name }}{{ printf "%s/%s@%s" $.root.Values.image.prefix $.name . }}
{{- else }}{{ printf "%s/%s:%s" .root.Values.image.prefix .name (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The target of a headless service, over which clients balance by themselves. */}}
{{- define "fovea.target" -}}
{{- $name := printf "%s-%s" (include "fovea.fullname" .root) .component -}}
{{- with .root.Values.clusterDomain }}{{ $name = printf "%s.%s.svc.%s" $name $.root.Release.Namespace . }}{{ end -}}
{{ printf "dns:///%s:%v" $name .port }}
{{- end }}

{{/* The addresses of all encoder sets, as a JSON list. */}}
{{- define "fovea.encoders" -}}
{{- $targets := list }}
{{- range $name, $_ := .Values.encoders }}
{{- $targets = append $targets (include "fovea.target" (dict "root" $ "component" (printf "encoder-%s" $name) "port" 50061)) }}
{{- end }}
{{- toJson $targets }}
{{- end }}

{{/* A set of encoders with the defaults of all sets. */}}
{{- define "fovea.encoderSet" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.encoderDefaults) .set) }}
{{- end }}
