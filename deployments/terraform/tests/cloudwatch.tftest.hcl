mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }

  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:123456789012:queue" }
  }

  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/predictions" }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/policy" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/role" }
  }
}

run "none" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0 && length(aws_cloudwatch_dashboard.this) == 0
    error_message = "There are alarms or a dashboard that nobody asked for."
  }
}

run "queues" {
  variables {
    alarms    = { topics = ["arn:aws:sns:eu-west-1:123456789012:oncall"] }
    dashboard = true
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["dead-letters", "oldest-message", "rejects"]
    error_message = "The alarms are others."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["oldest-message"].threshold == 300 && aws_cloudwatch_metric_alarm.this["oldest-message"].alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:oncall"])
    error_message = "The oldest message raises the alarm at another age, or elsewhere."
  }

  assert {
    condition     = one(aws_cloudwatch_metric_alarm.this["rejects"].metric_query).metric[0].dimensions == tomap({ QueueName = "predictions-rejects" })
    error_message = "The alarm on rejects is of another queue."
  }

  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.this : can(regex("https://github.com/predcache/predcache/blob/main/docs/runbook.md#[a-z]+$", a.alarm_description))])
    error_message = "An alarm doesn't name its runbook."
  }

  assert {
    condition     = aws_cloudwatch_dashboard.this[0].dashboard_name == "predictions-eu-west-1"
    error_message = "Another region could have a dashboard of this name."
  }

  assert {
    condition     = !strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "\"predcache\"") && !strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "$${")
    error_message = "The dashboard shows metrics that the workers don't send, or has a placeholder."
  }
}

run "everything" {
  variables {
    queue           = { no_reject_queue = true }
    alarms          = { max_age_seconds = 90 }
    objects         = { prefixes = ["scores"], max_age_seconds = 7200 }
    worker_settings = { WORKER_METRICS = "emf" }
    dashboard       = true
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.this), "no-workers") && contains(keys(aws_cloudwatch_metric_alarm.this), "objects-dead-letters") && !contains(keys(aws_cloudwatch_metric_alarm.this), "rejects")
    error_message = "The alarms are not those of batch outputs and of the workers' metrics, without a reject queue."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["oldest-message"].threshold == 90 && aws_cloudwatch_metric_alarm.this["objects-oldest-message"].threshold == 7200
    error_message = "The maximum ages are not those that are set."
  }

  assert {
    condition     = [for q in aws_cloudwatch_metric_alarm.this["no-workers"].metric_query : q.id if q.return_data] == ["result"]
    error_message = "Not the expression alone returns data."
  }

  assert {
    condition     = strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "Batch outputs") && !strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "Reject queue")
    error_message = "The dashboard shows a queue that is not there, or lacks one."
  }
}
