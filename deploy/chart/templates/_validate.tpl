{{/* Values that are each right and make no sense together: each ends in a sentence that says what to do. What one value
     may be by itself is said in values.schema.json. */}}
{{- define "rolewright.validate" -}}
{{- $v := .Values }}
{{- if and (gt (int $v.replicas) 1) (not $v.leaderElection.enabled) }}
{{- fail (printf "replicas is %d and leaderElection.enabled is false: without a leader all of them would work at once. Set leaderElection.enabled=true, or replicas=1" (int $v.replicas)) }}
{{- end }}
{{- if and (gt (int $v.replicas) 1) $v.state.existingClaim }}
{{- fail (printf "replicas is %d and state.existingClaim is %q: a ledger in a file keeps no two replicas apart. Set replicas=1, or let database.user create the schema \"rolewright\" and leave state.existingClaim empty" (int $v.replicas) $v.state.existingClaim) }}
{{- end }}
{{- if and (eq $v.secrets.mode "names") $v.secrets.selector }}
{{- fail (printf "secrets.selector is %q and secrets.mode is names: a selector narrows a list of all Secrets, and in this mode each is asked for by name. Set secrets.mode=namespace, or leave secrets.selector empty" $v.secrets.selector) }}
{{- end }}
{{- if and (eq $v.secrets.mode "namespace") $v.secrets.names }}
{{- fail "secrets.names is set and secrets.mode is namespace, which reads all Secrets of the namespace, also those that are not named. Set secrets.mode=names for the narrower right, or leave secrets.names empty" }}
{{- end }}
{{- if and (has "*" $v.secrets.generated) (or (eq $v.secrets.mode "names") (gt (len $v.secrets.generated) 1)) }}
{{- fail "secrets.generated holds *, every Secret of the namespace: that goes with secrets.mode=namespace, and with no name beside it. Name the Secrets of the users with `generate`" }}
{{- end }}
{{- if and $v.users.create (not $v.users.list) }}
{{- fail "users.create is true and users.list is empty: a users.yaml without users asks for the removal of everybody. List the users, or leave users.create=false and make the ConfigMap yourself" }}
{{- end }}
{{- if and $v.users.list (not $v.users.create) }}
{{- fail "users.list is set and users.create is false, so nobody would read it. Set users.create=true, or put the users into the ConfigMap yourself" }}
{{- end }}
{{- if and $v.database.ca.configMap $v.database.ca.secret }}
{{- fail "database.ca.configMap and database.ca.secret are both set: the authorities come from one of them. Leave the other empty" }}
{{- end }}
{{- if and (or $v.database.ca.configMap $v.database.ca.secret) (has $v.database.sslmode (list "disable" "allow" "prefer")) }}
{{- fail (printf "database.ca is set and database.sslmode is %s, which checks no certificate. Set database.sslmode=verify-full, or leave database.ca empty" $v.database.sslmode) }}
{{- end }}
{{- if lt (int $v.database.connections.max) (int $v.database.connections.min) }}
{{- fail (printf "database.connections.min is %d and database.connections.max is %d: the maximum must not be below the minimum" (int $v.database.connections.min) (int $v.database.connections.max)) }}
{{- end }}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the ServiceAccount that the pods are to run as. The namespace's default one is not taken, since every other pod would get its rights too" }}
{{- end }}
{{- end }}
