{{/*
One Deployment. `.component` is its name, `.image` that of its image, `.values` its part of values.yaml, `.probes` its probes,
`.ports` and `.env` lists, `.volumes` and `.mounts` lists, `.init` a list of init containers.
*/}}
{{- define "fovea.deployment" -}}
{{- $root := .root }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "fovea.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "fovea.labels" . | nindent 4 }}
spec:
  {{- if not (or (dig "autoscaling" "enabled" false .values) (dig "keda" "enabled" false .values)) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "fovea.selector" . | nindent 6 }}
  minReadySeconds: {{ .root.Values.rollout.minReadySeconds }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    metadata:
      labels:
        {{- include "fovea.labels" . | nindent 8 }}
        {{- with .root.Values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .root.Values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      # A Service named fovea-gateway would give every pod FOVEA_GATEWAY_PORT=tcp://…
      enableServiceLinks: false
      automountServiceAccountToken: false
      serviceAccountName: {{ include "fovea.fullname" .root }}
      terminationGracePeriodSeconds: {{ add .root.Values.shutdown.preStopSeconds .root.Values.shutdown.drainSeconds 10 }}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
        {{- with .root.Values.podSecurityContext }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.topologyKeys }}
      topologySpreadConstraints:
        {{- range . }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "fovea.selector" $ | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- with .init }}
      initContainers: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .container }}
          image: {{ include "fovea.image" (dict "root" .root "name" .image) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          securityContext: {{- include "fovea.containerSecurity" . | nindent 12 }}
          ports: {{- toYaml .ports | nindent 12 }}
          env:
            - name: FOVEA_TRUSTED_NETWORK
              value: {{ .root.Values.security.trustedNetwork | quote }}
            {{- with include "fovea.securityEnv" . | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- range .env }}
            - {{ toYaml . | nindent 14 | trim }}
            {{- end }}
            {{- range $name, $value := .values.settings }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          lifecycle:
            preStop: {{- include "fovea.preStop" . | nindent 14 }}
          {{- toYaml .probes | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          {{- $security := include "fovea.securityVolumes" . | fromYaml }}
          {{- with concat (.mounts | default list) $security.mounts }}
          volumeMounts: {{- toYaml . | nindent 12 }}
          {{- end }}
      {{- with concat (.volumes | default list) $security.volumes }}
      volumes: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* Where a process finds certificates and tokens. */}}
{{- define "fovea.securityEnv" -}}
{{- $security := .root.Values.security }}
{{- if $security.tlsSecret }}
- {name: FOVEA_TLS_CERTIFICATE, value: /security/tls/tls.crt}
- {name: FOVEA_TLS_KEY, value: /security/tls/tls.key}
- {name: FOVEA_TLS_CA, value: /security/tls/ca.crt}
- {name: FOVEA_TLS_CLIENT_CERTIFICATES, value: {{ $security.clientCertificates | quote }}}
{{- if ne .container "gateway" }}
- {name: FOVEA_{{ upper .container }}_HEALTH_PORT, value: {{ include "fovea.healthPort" . | quote }}}
{{- end }}
{{- end }}
{{- if $security.tokensSecret }}
- {name: FOVEA_TOKENS, value: /security/tokens/tokens.json}
- {name: FOVEA_TOKEN_FILE, value: /security/tokens/services.token}
{{- end }}
{{- end }}

{{- define "fovea.securityVolumes" -}}
{{- $secrets := dict "tls" .root.Values.security.tlsSecret "tokens" .root.Values.security.tokensSecret }}
{{- $volumes := list }}{{ $mounts := list }}
{{- range $name, $secret := $secrets }}{{ if $secret }}
{{- $volumes = append $volumes (dict "name" $name "secret" (dict "secretName" $secret "defaultMode" 288)) }}
{{- $mounts = append $mounts (dict "name" $name "mountPath" (printf "/security/%s" $name) "readOnly" true) }}
{{- end }}{{ end }}
{{- dict "volumes" $volumes "mounts" $mounts | toYaml }}
{{- end }}

{{- define "fovea.healthPort" }}9091{{ end }}

{{- define "fovea.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The action `sleep` is on by default since Kubernetes 1.30. */}}
{{- define "fovea.preStop" -}}
{{- $seconds := .root.Values.shutdown.preStopSeconds -}}
{{- if semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version -}}
sleep: {seconds: {{ $seconds }}}
{{- else -}}
exec: {command: [python3, -c, "import time; time.sleep({{ $seconds }})"]}
{{- end }}
{{- end }}

{{/* Native gRPC probes, each on a health name of its own. They speak no TLS: with it they ask a port that has health alone. */}}
{{- define "fovea.grpcProbes" -}}
{{- $port := ternary (include "fovea.healthPort" . | int) .port (not (empty .root.Values.security.tlsSecret)) }}
startupProbe:
  grpc: {port: {{ $port }}, service: startup}
  periodSeconds: 2
  failureThreshold: {{ div (add .startupSeconds 1) 2 }}
livenessProbe:
  grpc: {port: {{ $port }}, service: liveness}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc: {port: {{ $port }}, service: readiness}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/* Clients balance over the pods and watch their readiness themselves, so that DNS also names pods that are not ready yet. */}}
{{- define "fovea.headless" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "fovea.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "fovea.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "fovea.selector" . | nindent 4 }}
  ports:
    - {name: grpc, port: {{ .port }}, targetPort: grpc, appProtocol: {{ ternary "https" "kubernetes.io/h2c" (not (empty .root.Values.security.tlsSecret)) }}}
    - {name: metrics, port: 9090, targetPort: metrics}
{{- end }}

{{/* A PodDisruptionBudget, and an autoscaler where it is switched on. */}}
{{- define "fovea.scaling" -}}
{{- $name := printf "%s-%s" (include "fovea.fullname" .root) .component }}
{{- $auto := .values.autoscaling }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "fovea.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "fovea.selector" . | nindent 6 }}
{{- if and $auto.enabled (not (dig "keda" "enabled" false .values)) }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "fovea.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $auto.minReplicas }}
  maxReplicas: {{ $auto.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $auto.cpuPercent }}}
{{- end }}
{{- end }}

{{/* Where Milvus and Redis are, as `.prefix`_MILVUS_URI and _REDIS_URL. */}}
{{- define "fovea.storeEnv" -}}
{{- $stores := .root.Values.stores -}}
- name: {{ .prefix }}_MILVUS_URI
  {{- if $stores.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $stores.existingSecret }}, key: milvus}}
  {{- else }}
  value: {{ $stores.milvus | quote }}
  {{- end }}
- name: {{ .prefix }}_REDIS_URL
  {{- if $stores.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $stores.existingSecret }}, key: redis}}
  {{- else }}
  value: {{ $stores.redis | quote }}
  {{- end }}
{{- end }}
