locals {
  runbook = "https://github.com/predcache/predcache/blob/main/docs/runbook.md#"

  alarms = var.alarms == null ? {} : merge(
    {
      oldest-message = {
        description = "The oldest prediction waits too long"
        metric      = "ApproximateAgeOfOldestMessage"
        queue       = aws_sqs_queue.predictions.name
        threshold   = var.alarms.max_age_seconds
        periods     = 3
      }
      dead-letters = {
        description = "Messages were received again and again and never settled"
        metric      = "ApproximateNumberOfMessagesVisible"
        queue       = aws_sqs_queue.dead_letters.name
        threshold   = 0
        periods     = 1
      }
    },
    { for queue in aws_sqs_queue.rejects : "rejects" => {
      description = "Predictions can't be stored"
      metric      = "ApproximateNumberOfMessagesVisible"
      queue       = queue.name
      threshold   = 0
      periods     = 1
    } },
    { for queue in aws_sqs_queue.objects : "objects-oldest-message" => {
      description = "Batch outputs wait too long"
      metric      = "ApproximateAgeOfOldestMessage"
      queue       = queue.name
      threshold   = var.objects.max_age_seconds
      periods     = 3
    } },
    { for queue in aws_sqs_queue.objects_dead_letters : "objects-dead-letters" => {
      description = "Events of objects, or ranges of them, were received again and again and never settled"
      metric      = "ApproximateNumberOfMessagesVisible"
      queue       = queue.name
      threshold   = 0
      periods     = 1
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.description}. ${local.runbook}${replace(each.key, "-", "")}"

  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  # SQS sends no metrics for a queue that has long been empty.
  treat_missing_data = "notBreaching"

  alarm_actions = var.alarms.topics
  ok_actions    = var.alarms.topics

  tags = local.tags
}
