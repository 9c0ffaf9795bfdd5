# Most of what the module offers: the newest prediction of each id only, customer managed keys, batch outputs in S3, alarms
# and a dashboard, and a worker with settings of its own.
module "predcache" {
  source = "../.."

  name       = "fraud-scores"
  layout     = "latest-only"
  table_name = "fraud-scores"

  point_in_time_recovery = true
  deletion_protection    = true
  key_arn                = var.key_arn

  billing = {
    max_read_units  = 20000
    max_write_units = 10000
  }

  queue = {
    visibility_seconds = 120
    retention_days     = 7
  }

  objects = {
    prefixes = ["scores/daily/", "scores/backfill/"]
    key_arns = [var.key_arn]
  }

  alarms = {
    topics          = [var.topic_arn]
    max_age_seconds = 120
  }

  worker_settings = {
    WORKER_TTL      = "6h"
    WORKER_ORDERING = "newest"
    WORKER_METRICS  = "emf"
  }

  dashboard = true
  redrive   = true

  service = {
    image        = "ghcr.io/predcache/worker:v1.2.3"
    vpc_id       = var.vpc_id
    subnets      = var.subnets
    cpu          = 1024
    memory       = 2048
    min_tasks    = 2
    max_tasks    = 8
    spot_share   = 50
    log_days     = 90
    architecture = "ARM64"
  }

  tags = {
    Team = "fraud"
  }
}
