{{- define "tombolo.image" -}}
{{- if .Values.image.override -}}
{{ .Values.image.override }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Labels of everything; called with (dict "context" . "name" "tombolo") */}}
{{- define "tombolo.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: tombolo
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
helm.sh/chart: {{ .context.Chart.Name }}-{{ .context.Chart.Version }}
{{- end }}

{{/* How every program finds the API server. */}}
{{- define "tombolo.env" -}}
{{- if .Values.k8sServiceHost }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.k8sServiceHost | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.k8sServicePort | toString | quote }}
{{- end }}
- name: TOMBOLO_LOG_FORMAT
  value: {{ .Values.logFormat }}
- name: TOMBOLO_CLUSTER_NAME
  value: {{ .Values.cluster.name }}
- name: TOMBOLO_CLUSTER_ID
  value: {{ .Values.cluster.id | toString | quote }}
- name: TOMBOLO_MAX_CONNECTED_CLUSTERS
  value: {{ .Values.clustermesh.maxConnectedClusters | toString | quote }}
- name: TOMBOLO_POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}

{{/* An address to listen on, of the pod's own family. Called with (dict "context" . "port" 1) */}}
{{- define "tombolo.podListen" -}}
{{- if .context.Values.ipv4.enabled -}}
$(TOMBOLO_POD_IP):{{ .port }}
{{- else -}}
[$(TOMBOLO_POD_IP)]:{{ .port }}
{{- end -}}
{{- end }}

{{/* What a container needs that has no business with the node. */}}
{{- define "tombolo.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Probes over HTTP. Called with (dict "port" 1 "ready" "/readyz") */}}
{{- define "tombolo.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
  periodSeconds: 1
  failureThreshold: 180
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: {{ .ready }}
    port: {{ .port }}
  periodSeconds: 1
  timeoutSeconds: 5
{{- end }}
