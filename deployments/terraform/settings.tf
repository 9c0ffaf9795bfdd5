locals {
  # The types and values of the worker's settings, generated from its code.
  settings = jsondecode(file("${path.module}/../pulumi/predcache/settings.json"))

  # Values by type, as Go's strconv and time packages parse them. The worker checks ranges.
  setting_types = {
    duration = { pattern = "^[-+]?(0|(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$", remedy = "a duration like 500ms, 20s or 24h" }
    integer  = { pattern = "^[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)$", remedy = "an integer" }
    number   = { pattern = "^[-+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][-+]?[0-9]+)?$", remedy = "a number" }
    boolean  = { pattern = "^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$", remedy = "true or false" }
    string   = { pattern = "", remedy = "a string" }
  }
  setting_rules = {
    for name, setting in local.settings : name => {
      pattern = try("^(${join("|", setting.values)})$", local.setting_types[setting.type].pattern)
      remedy  = try("one of ${join(", ", setting.values)}", local.setting_types[setting.type].remedy)
    }
  }
  other_settings = { pattern = "", remedy = "" } # OTEL_ and GO variables

  # What the module sets itself.
  own_settings = {
    WORKER_QUEUE_URL            = "is set by the module"
    WORKER_TABLE_NAME           = "is set by the module"
    WORKER_REJECT_QUEUE_URL     = "is set by the module"
    WORKER_OBJECTS_QUEUE_URL    = "is set by the module: give objects"
    WORKER_OBJECTS              = "is set by the module: give objects"
    WORKER_OBJECTS_BUCKET_OWNER = "is set by the module: give objects.bucket_owner"
  }

  # Fargate kills a task 120 s after SIGTERM; ECS waits ten seconds longer than the drain.
  duration_units = { ns = 1e-9, us = 1e-6, "µs" = 1e-6, ms = 1e-3, s = 1, m = 60, h = 3600 }
  drain_timeout = try(sum([
    for part in regexall("([0-9.]+)(ns|us|µs|ms|s|m|h)", lookup(var.worker_settings, "WORKER_DRAIN_TIMEOUT", "25s")) :
    tonumber("0${trimsuffix(part[0], ".")}") * local.duration_units[part[1]]
  ]), 0)
  stop_timeout = local.drain_timeout + 10

  # The memory in MiB that the worker may take (docs/guarantees.md, Memory): what it holds and a third, 2 MiB for each write
  # under way, 64 bytes for each remembered key, and 100 MiB for the rest. With batch outputs, also the rows that it holds and
  # a third, and 2 MiB for each write and for each range of theirs.
  memory_settings = {
    for name, standard in {
      WORKER_MAX_HELD_BYTES            = 104857600
      WORKER_WRITE_CONCURRENCY         = 8
      WORKER_DEDUP_WINDOW              = 100000
      WORKER_OBJECTS_MAX_BYTES         = 50331648
      WORKER_OBJECTS_WRITE_CONCURRENCY = 0
      WORKER_OBJECTS_CONCURRENCY       = 8
    } : name => try(tonumber(var.worker_settings[name]), standard)
  }
  objects_writes = local.memory_settings.WORKER_OBJECTS_WRITE_CONCURRENCY == 0 ? local.memory_settings.WORKER_WRITE_CONCURRENCY / 2 : local.memory_settings.WORKER_OBJECTS_WRITE_CONCURRENCY
  memory_need = ceil(
    local.memory_settings.WORKER_MAX_HELD_BYTES * 4 / 3 / 1048576
    + local.memory_settings.WORKER_WRITE_CONCURRENCY * 2
    + local.memory_settings.WORKER_DEDUP_WINDOW * 64 / 1048576
    + 100
    + (local.with_objects ? local.memory_settings.WORKER_OBJECTS_MAX_BYTES * 4 / 3 / 1048576 + 2 * (local.objects_writes + local.memory_settings.WORKER_OBJECTS_CONCURRENCY) : 0)
  )

  # The ports that the worker connects to: HTTPS for AWS, and that of an OpenTelemetry collector outside of the task.
  collectors = [
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] :
    regex("^(?P<scheme>https?)://(?P<host>\\[[^]]*\\]|[^/:]*)(?::(?P<port>[0-9]+))?", lookup(var.worker_settings, name, ""))
    if can(regex("^https?://", lookup(var.worker_settings, name, "")))
  ]
  egress_ports = distinct(concat([443], [
    for c in local.collectors : tonumber(coalesce(c.port, c.scheme == "http" ? "80" : "443"))
    if !contains(["localhost", "127.0.0.1"], c.host)
  ]))
  egress_rules = {
    for rule in setproduct(local.egress_ports, ["ipv4", "ipv6"]) : "${rule[0]}-${rule[1]}" => { port = tonumber(rule[0]), family = rule[1] }
  }

  # What Fargate offers for each number of CPU units: memory from least to most, in MiB, in steps ("Troubleshoot Amazon ECS task
  # definition invalid CPU or memory errors", Amazon ECS Developer Guide).
  fargate_sizes = {
    "256"   = { least = 512, most = 2048, step = 1024 } # and 1024, 2048
    "512"   = { least = 1024, most = 4096, step = 1024 }
    "1024"  = { least = 2048, most = 8192, step = 1024 }
    "2048"  = { least = 4096, most = 16384, step = 1024 }
    "4096"  = { least = 8192, most = 30720, step = 1024 }
    "8192"  = { least = 16384, most = 61440, step = 4096 }
    "16384" = { least = 32768, most = 122880, step = 8192 }
  }
}
