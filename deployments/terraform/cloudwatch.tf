locals {
  # The Pulumi component and the CloudFormation template have the same alarms and the same dashboard. See its README.md.
  cloudwatch_files = "${path.module}/../cloudwatch"

  # What the placeholders stand for. An entry that needs a queue that is not there is left out.
  cloudwatch_names = {
    QueueName                  = aws_sqs_queue.predictions.name
    DeadLetterQueueName        = aws_sqs_queue.dead_letters.name
    RejectQueueName            = join("", aws_sqs_queue.rejects[*].name)
    ObjectsQueueName           = join("", aws_sqs_queue.objects[*].name)
    ObjectsDeadLetterQueueName = join("", aws_sqs_queue.objects_dead_letters[*].name)
    TableName                  = aws_dynamodb_table.predictions.name
    Region                     = data.aws_region.current.id
  }
  cloudwatch_has = compact([
    local.with_rejects ? "rejects" : "",
    local.with_objects ? "objects" : "",
    lookup(var.worker_settings, "WORKER_METRICS", "") == "emf" ? "emf" : "",
  ])

  runbook = "https://github.com/predcache/predcache/blob/main/docs/runbook.md"

  # Thresholds that the module's arguments set, by the names that the file has for them.
  thresholds = {
    maxAgeSeconds        = try(var.alarms.max_age_seconds, null)
    objectsMaxAgeSeconds = try(var.objects.max_age_seconds, null)
  }

  alarms = {
    for alarm in jsondecode(templatefile("${local.cloudwatch_files}/alarms.json", local.cloudwatch_names)) : alarm.name => alarm
    if var.alarms != null && length(setsubtract(alarm.needs, local.cloudwatch_has)) == 0
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.description} ${local.runbook}#${each.value.runbook}"

  # With an expression, that alone returns data.
  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id          = metric_query.value.id
      return_data = each.value.expression == ""

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = each.value.period
      }
    }
  }

  dynamic "metric_query" {
    for_each = compact([each.value.expression])

    content {
      id          = "result"
      expression  = metric_query.value
      return_data = true
    }
  }

  comparison_operator = each.value.comparison
  threshold           = try(coalesce(local.thresholds[each.value.thresholdFrom]), each.value.threshold)
  evaluation_periods  = each.value.evaluationPeriods
  datapoints_to_alarm = each.value.datapointsToAlarm
  treat_missing_data  = each.value.treatMissingData

  alarm_actions = var.alarms.topics
  ok_actions    = var.alarms.topics

  tags = merge(local.tags, { Severity = each.value.severity })
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  # All regions of an account share the names of dashboards.
  dashboard_name = "${var.name}-${data.aws_region.current.id}"
  dashboard_body = jsonencode({
    widgets = [
      for entry in jsondecode(templatefile("${local.cloudwatch_files}/dashboard.json", local.cloudwatch_names)) : entry.widget
      if length(setsubtract(entry.needs, local.cloudwatch_has)) == 0
    ]
  })
}
