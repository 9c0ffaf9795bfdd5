variable "name" {
  description = "Begins the names of everything that the module makes: the table and the queue have it alone. Unique in the account and region."
  type        = string
  default     = "predictions"
  nullable    = false

  validation {
    # A role's prefix has 38 characters, and the longest here is NAME-execution-.
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,25}[A-Za-z0-9]$", var.name))
    error_message = "name is \"${var.name}\": give 2 to 27 letters, digits and hyphens, a letter first and no hyphen last."
  }
}

# The table.

variable "layout" {
  description = "How the table keeps predictions: `versioned` keeps each version, `latest-only` one item for each id, `expiry-sorted` is the original design. See [data-model.md](../../docs/data-model.md)."
  type        = string
  default     = "versioned"
  nullable    = false

  validation {
    condition     = contains(["versioned", "expiry-sorted", "latest-only"], var.layout)
    error_message = "layout is \"${var.layout}\": give versioned, expiry-sorted or latest-only."
  }
}

variable "table_name" {
  description = "Name of the table; `name` unless set. A table whose name changes is replaced."
  type        = string
  default     = null
}

variable "hash_key" {
  description = "Name of the partition key."
  type        = string
  default     = "predictionId"
  nullable    = false

  validation {
    condition     = !contains(["expiresAt", "createdAt", "prediction", "encoding"], var.hash_key)
    error_message = "The key \"${var.hash_key}\" is an attribute that the worker writes besides: give another hash_key."
  }
}

variable "hash_key_type" {
  description = "Type of the partition key: `S` or `N`."
  type        = string
  default     = "S"
  nullable    = false

  validation {
    condition     = contains(["S", "N"], var.hash_key_type)
    error_message = "hash_key_type is \"${var.hash_key_type}\": give S or N."
  }
}

variable "sort_key" {
  description = "Name of the sort key, a number. A table with the layout `latest-only` has none."
  type        = string
  default     = "timestamp"
  nullable    = false

  validation {
    condition     = !contains(["expiresAt", "createdAt", "prediction", "encoding"], var.sort_key)
    error_message = "The key \"${var.sort_key}\" is an attribute that the worker writes besides: give another sort_key."
  }

  validation {
    condition     = var.layout == "latest-only" || var.sort_key != var.hash_key
    error_message = "hash_key and sort_key are both \"${var.sort_key}\": give two names."
  }
}

variable "billing" {
  description = <<-EOT
    Billing of the table.

    - `mode`: `on-demand` or `provisioned`.
    - `max_read_units`, `max_write_units`: bound what a table on demand may use in a second, and so what it may cost; 0 is no bound. A provisioned table is scaled up to them.
    - `min_read_units`, `min_write_units`: the least capacity of a provisioned table.
    - `target_utilization`: the share in percent at which a provisioned table is scaled, 20 to 90.
  EOT
  type = object({
    mode               = optional(string, "on-demand")
    max_read_units     = optional(number, 0)
    max_write_units    = optional(number, 0)
    min_read_units     = optional(number, 0)
    min_write_units    = optional(number, 0)
    target_utilization = optional(number, 70)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["on-demand", "provisioned"], var.billing.mode)
    error_message = "billing.mode is \"${var.billing.mode}\": give on-demand or provisioned."
  }

  validation {
    condition     = var.billing.mode != "on-demand" || (var.billing.min_read_units == 0 && var.billing.min_write_units == 0)
    error_message = "billing.min_read_units and min_write_units are for the mode provisioned: remove them, or set billing.mode."
  }

  validation {
    condition     = var.billing.mode != "provisioned" || (var.billing.min_read_units >= 1 && var.billing.min_write_units >= 1)
    error_message = "billing.mode is provisioned: give min_read_units and min_write_units of 1 or more."
  }

  validation {
    condition     = var.billing.mode != "provisioned" || (var.billing.max_read_units >= var.billing.min_read_units && var.billing.max_write_units >= var.billing.min_write_units)
    error_message = "billing.mode is provisioned: give max_read_units and max_write_units, not below the least."
  }

  validation {
    condition     = var.billing.target_utilization >= 20 && var.billing.target_utilization <= 90
    error_message = "billing.target_utilization is ${var.billing.target_utilization}: give 20 to 90."
  }

  validation {
    condition     = var.billing.max_read_units >= 0 && var.billing.max_write_units >= 0
    error_message = "billing.max_read_units and max_write_units can't be negative: give 0 for no bound."
  }
}

variable "point_in_time_recovery" {
  description = "Keeps 35 days of backups. A cache can be computed again, so it is off by default."
  type        = bool
  default     = false
  nullable    = false
}

variable "deletion_protection" {
  description = "Makes DynamoDB refuse to delete the table, by this module or by anything else, until it is set to false."
  type        = bool
  default     = false
  nullable    = false
}

variable "key_arn" {
  description = "ARN of a customer managed KMS key for the table and the queues; AWS's own keys unless set. Its key policy must let the account's IAM policies permit its use."
  type        = string
  default     = null

  validation {
    condition     = var.key_arn == null || startswith(coalesce(var.key_arn, "arn:"), "arn:")
    error_message = "key_arn is \"${coalesce(var.key_arn, "null")}\": give the key's ARN."
  }
}

# The queues.

variable "queue" {
  description = <<-EOT
    The queue with its dead-letter and reject queues.

    - `visibility_seconds`: visibility timeout, 30 to 43200. The worker extends it while it holds a message, so it is how long a message stays invisible after a kill. The objects queue has at least 120.
    - `retention_days`: how long messages are kept, 1 to 14.
    - `max_receives`: how many receives send a message to the dead-letter queue, 10 to 1000. The worker rejects poison itself, so a low limit would only move good messages there after a few restarts.
    - `no_reject_queue`: leaves the reject queue out. Bad messages then end in the dead-letter queue, much later.
  EOT
  type = object({
    visibility_seconds = optional(number, 60)
    retention_days     = optional(number, 14)
    max_receives       = optional(number, 50)
    no_reject_queue    = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.queue.visibility_seconds >= 30 && var.queue.visibility_seconds <= 43200
    error_message = "queue.visibility_seconds is ${var.queue.visibility_seconds}: give 30 to 43200."
  }

  validation {
    condition     = var.queue.retention_days >= 1 && var.queue.retention_days <= 14
    error_message = "queue.retention_days is ${var.queue.retention_days}: give 1 to 14."
  }

  validation {
    condition     = var.queue.max_receives >= 10 && var.queue.max_receives <= 1000
    error_message = "queue.max_receives is ${var.queue.max_receives}: give 10 to 1000; an outage or a few restarts would move good messages away after fewer."
  }
}

variable "objects" {
  description = <<-EOT
    [Batch outputs](../../docs/objects.md) in S3 that the worker reads, by the events of their buckets; none unless set. The module makes the queue of the events, and lets the buckets send to it. A bucket has only one notification configuration for everything, so the module leaves it alone: add the output `objects_queue_arn` to it, for `s3:ObjectCreated:*`.

    - `prefixes`: buckets and beginnings of keys that may be read, like `scores/daily/`, or `forecasts` for a whole bucket. A prefix ends where it is written: `scores/daily` also permits `scores/daily-old/`.
    - `bucket_owner`: the account of the buckets; the module's own unless set.
    - `key_arns`: the customer managed KMS keys that the objects are encrypted with, if any.
    - `max_age_seconds`: the maximum age of the oldest event or range, for the alarm.
  EOT
  type = object({
    prefixes        = list(string)
    bucket_owner    = optional(string)
    key_arns        = optional(list(string), [])
    max_age_seconds = optional(number, 3600)
  })
  default = null

  validation {
    condition     = var.objects == null ? true : length(var.objects.prefixes) > 0
    error_message = "objects.prefixes is empty: give the buckets and beginnings of keys that may be read, like scores/daily/."
  }

  validation {
    # The names that S3 has allowed at some time ("General purpose bucket naming rules").
    condition     = var.objects == null ? true : alltrue([for p in var.objects.prefixes : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9](/|$)", p))])
    error_message = "objects.prefixes is ${jsonencode(try(var.objects.prefixes, []))}: give a bucket's name, and after a slash the beginning of keys."
  }

  validation {
    condition     = var.objects == null ? true : !anytrue([for p in var.objects.prefixes : can(regex("[*?,]", p))])
    error_message = "objects.prefixes is ${jsonencode(try(var.objects.prefixes, []))}: a beginning of keys permits all that follows, and has no pattern or comma."
  }

  validation {
    condition     = try(var.objects.bucket_owner, null) == null ? true : can(regex("^[0-9]{12}$", var.objects.bucket_owner))
    error_message = "objects.bucket_owner is ${jsonencode(try(var.objects.bucket_owner, null))}: give the id of an account, 12 digits."
  }

  validation {
    condition     = var.objects == null ? true : alltrue([for arn in var.objects.key_arns : startswith(arn, "arn:")])
    error_message = "objects.key_arns is ${jsonencode(try(var.objects.key_arns, []))}: give the keys' ARNs."
  }

  validation {
    condition     = var.objects == null ? true : var.objects.max_age_seconds >= 60
    error_message = "objects.max_age_seconds can't be under 60: CloudWatch knows the age by the minute."
  }
}

# The worker and what is around it.

variable "worker_settings" {
  description = "Environment variables of the worker: its [settings](../../docs/settings.md) by their names, `WORKER_TTL` and so on, and those of the OpenTelemetry SDK (`OTEL_`) and of the Go runtime (`GO`). Unknown settings and values of another type are refused."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.worker_settings) : !contains(keys(local.own_settings), name)])
    error_message = join("\n", [for name, why in local.own_settings : "worker_settings: ${name} ${why}." if contains(keys(var.worker_settings), name)])
  }

  validation {
    condition     = alltrue([for name in keys(var.worker_settings) : contains(keys(local.settings), name) || startswith(name, "OTEL_") || startswith(name, "GO")])
    error_message = join("\n", [for name in keys(var.worker_settings) : "worker_settings: unknown setting ${name}: `worker config` lists the settings; OTEL_ and GO variables pass through." if !contains(keys(local.settings), name) && !startswith(name, "OTEL_") && !startswith(name, "GO")])
  }

  validation {
    condition     = alltrue([for name, value in var.worker_settings : can(regex(lookup(local.setting_rules, name, local.other_settings).pattern, value))])
    error_message = join("\n", [for name, value in var.worker_settings : "worker_settings: ${name} is \"${value}\": must be ${local.setting_rules[name].remedy}." if !can(regex(lookup(local.setting_rules, name, local.other_settings).pattern, value))])
  }
}

variable "alarms" {
  description = <<-EOT
    [CloudWatch alarms](../cloudwatch/README.md) on the metrics of the queues, and of the workers with `WORKER_METRICS = "emf"` in `worker_settings`; none unless set.

    - `topics`: ARNs of the SNS topics to notify.
    - `max_age_seconds`: the maximum age of the oldest message.
  EOT
  type = object({
    topics          = optional(list(string), [])
    max_age_seconds = optional(number, 300)
  })
  default = null

  validation {
    condition     = var.alarms == null ? true : var.alarms.max_age_seconds >= 60
    error_message = "alarms.max_age_seconds can't be under 60: CloudWatch knows the age by the minute."
  }
}

variable "dashboard" {
  description = "Makes a CloudWatch dashboard of the queues and the table, and of the workers with `WORKER_METRICS = \"emf\"` in `worker_settings`."
  type        = bool
  default     = false
  nullable    = false
}

variable "pod_identity" {
  description = "Makes a role that EKS Pod Identity may give to the worker's pods."
  type        = bool
  default     = false
  nullable    = false
}

variable "redrive" {
  description = "Makes a policy for whoever sends rejects and dead letters back to the queue."
  type        = bool
  default     = false
  nullable    = false
}

variable "scaler" {
  description = "Makes a policy for KEDA's operator."
  type        = bool
  default     = false
  nullable    = false
}

variable "service" {
  description = <<-EOT
    The worker as an ECS service on Fargate; none unless set.

    - `image`: by digest or by a tag that never moves.
    - `region`: for the logs and the SDK; the provider's unless set.
    - `vpc_id`, `subnets`, `assign_public_ip`: where tasks run. Without a public IP the subnets need a route to SQS, DynamoDB, CloudWatch Logs and the image's registry: a NAT gateway, or endpoints and an image in ECR.
    - `security_groups`: of the tasks. Unless set, one is made that allows HTTPS and traces out, and nothing in; the plan must know the collector's address for it.
    - `cluster_name`: an ECS cluster with Container Insights, which count the tasks, and the capacity providers `FARGATE` and `FARGATE_SPOT`. One is made unless set.
    - `architecture`: `ARM64` or `X86_64`.
    - `cpu`, `memory`: CPU units and MiB. Fargate decides which go together.
    - `min_tasks`, `max_tasks`: together they hold at most 100,000 messages by default.
    - `messages_per_task`: the target backlog of a task: 5 s at 1,000 messages a second by default.
    - `on_demand_tasks`: never run on Spot. `spot_share` of the others, in percent, does; 0 is none. A Spot task gets SIGTERM two minutes before its end, which is more than the drain needs.
    - `log_days`: how long logs are kept.
    - `secrets`: variables of the worker by the ARN of a parameter of Systems Manager or of a secret of Secrets Manager, like `OTEL_EXPORTER_OTLP_HEADERS`. The execution role may read these and the sidecars', and no others. `secret_key_arns`: the customer managed KMS keys that the secrets are encrypted with, if any.
    - `sidecars`: more containers of the task, such as a collector, as RegisterTaskDefinition takes them. They share the task's network, CPU, memory and role. Unless set, `essential` is false and the logs go beside the worker's. `task_policy_arns`: more policies of the task's role, for what sidecars call.
  EOT
  type = object({
    image             = string
    region            = optional(string)
    vpc_id            = optional(string)
    subnets           = list(string)
    assign_public_ip  = optional(bool, false)
    security_groups   = optional(list(string), [])
    cluster_name      = optional(string)
    architecture      = optional(string, "ARM64")
    cpu               = optional(number, 512)
    memory            = optional(number, 1024)
    min_tasks         = optional(number, 1)
    max_tasks         = optional(number, 10)
    messages_per_task = optional(number, 5000)
    on_demand_tasks   = optional(number, 1)
    spot_share        = optional(number, 75)
    log_days          = optional(number, 30)
    secrets           = optional(map(string), {})
    secret_key_arns   = optional(list(string), [])
    sidecars          = optional(any, [])
    task_policy_arns  = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.service == null ? true : var.service.image != ""
    error_message = "service.image is needed."
  }

  validation {
    condition     = var.service == null ? true : length(var.service.subnets) > 0
    error_message = "service.subnets are needed."
  }

  validation {
    condition     = var.service == null ? true : var.service.vpc_id != null || length(var.service.security_groups) > 0
    error_message = "service.vpc_id is needed, for a security group, unless service.security_groups are given."
  }

  validation {
    condition     = var.service == null ? true : contains(["ARM64", "X86_64"], var.service.architecture)
    error_message = "service.architecture is \"${try(var.service.architecture, "")}\": give ARM64 or X86_64."
  }

  validation {
    condition     = var.service == null ? true : can(local.fargate_sizes[tostring(var.service.cpu)])
    error_message = "service.cpu is ${try(var.service.cpu, 0)}: Fargate takes 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }

  validation {
    condition = alltrue([
      for size in [try(local.fargate_sizes[tostring(var.service.cpu)], null)] :
      var.service.memory >= size.least && var.service.memory <= size.most && (var.service.memory == size.least || var.service.memory % size.step == 0)
      if size != null
    ])
    error_message = join("", [
      for size in [try(local.fargate_sizes[tostring(var.service.cpu)], null)] :
      "service.memory is ${var.service.memory}: with service.cpu of ${var.service.cpu}, Fargate takes ${var.service.cpu == 256 ? "512, 1024 or 2048" : "${size.least} to ${size.most} in steps of ${size.step}"}."
      if size != null
    ])
  }

  validation {
    condition = var.service == null ? true : var.service.memory >= local.memory_need + sum(concat([0], [
      for sidecar in var.service.sidecars : max(try(tonumber(sidecar.memory), 0), try(tonumber(sidecar.memoryReservation), 0))
    ]))
    error_message = "service.memory is ${try(var.service.memory, 0)}, but the worker may take ${local.memory_need} MiB (docs/guarantees.md, Memory), and the sidecars take theirs: raise it, or lower WORKER_MAX_HELD_BYTES."
  }

  validation {
    condition     = var.service == null ? true : local.stop_timeout <= 120
    error_message = "WORKER_DRAIN_TIMEOUT is ${lookup(var.worker_settings, "WORKER_DRAIN_TIMEOUT", "25s")}: Fargate kills after 2m, so set at most 1m50s."
  }

  validation {
    condition     = var.service == null ? true : var.service.min_tasks >= 1 && var.service.max_tasks >= var.service.min_tasks
    error_message = "service.min_tasks is ${try(var.service.min_tasks, 0)} and max_tasks ${try(var.service.max_tasks, 0)}: give 1 or more, and not less."
  }

  validation {
    condition     = var.service == null ? true : var.service.spot_share >= 0 && var.service.spot_share <= 100
    error_message = "service.spot_share is ${try(var.service.spot_share, 0)}: give a share in percent, or 0 for none."
  }

  validation {
    condition     = var.service == null ? true : alltrue([for name in keys(var.service.secrets) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name)) && !startswith(name, "WORKER_")])
    error_message = "service.secrets has ${jsonencode(try(keys(var.service.secrets), []))}: give names of environment variables, and no setting of the worker. None of those is secret, and its status page shows them all: give them in worker_settings."
  }

  validation {
    condition     = var.service == null ? true : alltrue([for name in keys(var.service.secrets) : !contains(keys(var.worker_settings), name)])
    error_message = "service.secrets has ${jsonencode(try(keys(var.service.secrets), []))}, and worker_settings has one of them too: give each in one place."
  }

  validation {
    # Of Secrets Manager with, by choice, a JSON key, a version stage and a version ("Specify Secrets Manager secrets", Amazon ECS
    # Developer Guide).
    condition = var.service == null ? true : alltrue([
      for arn in concat(values(var.service.secrets), flatten([for s in var.service.sidecars : [for secret in try(s.secrets, []) : try(secret.valueFrom, "")]])) :
      can(regex("^arn:[a-z-]+:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/.+|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?)$", arn))
    ])
    error_message = "A secret in service.secrets or of a sidecar is not an ARN: give that of a parameter of Systems Manager or of a secret of Secrets Manager."
  }

  validation {
    condition     = var.service == null ? true : alltrue([for s in var.service.sidecars : can(regex("^[A-Za-z0-9_-]{1,255}$", s.name)) && try(s.image, "") != ""])
    error_message = "service.sidecars: give each a name of up to 255 letters, digits, hyphens and underscores, and an image."
  }

  validation {
    condition     = var.service == null ? true : length(distinct(concat(["worker"], [for s in var.service.sidecars : try(s.name, "")]))) == 1 + length(var.service.sidecars)
    error_message = "service.sidecars: two containers have the same name, or one is called worker: give each a name of its own."
  }

  validation {
    condition     = var.service == null ? true : alltrue([for arn in concat(var.service.secret_key_arns, var.service.task_policy_arns) : startswith(arn, "arn:")])
    error_message = "service.secret_key_arns and task_policy_arns are ${jsonencode(try(concat(var.service.secret_key_arns, var.service.task_policy_arns), []))}: give ARNs."
  }
}

variable "tags" {
  description = "Tags of everything. `Environment = \"Production\"` and `Purpose = \"CachePredictionOutputs\"` unless they are set here."
  type        = map(string)
  default     = {}
  nullable    = false
}
