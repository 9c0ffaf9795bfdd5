locals {
  day       = 24 * 60 * 60
  retention = var.queue.retention_days * local.day

  with_rejects = !var.queue.no_reject_queue
  with_objects = var.objects != null

  # SQS takes either its own encryption or a key.
  sse_sqs = var.key_arn == null ? true : null
}

resource "aws_sqs_queue" "predictions" {
  name = var.name

  visibility_timeout_seconds = var.queue.visibility_seconds
  message_retention_seconds  = local.retention
  receive_wait_time_seconds  = 20

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.queue.max_receives
  })

  sqs_managed_sse_enabled = local.sse_sqs
  kms_master_key_id       = var.key_arn

  tags = local.tags
}

resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dead-letters"

  # A dead letter keeps its first sent time, so it needs the longest retention there is.
  message_retention_seconds = 14 * local.day

  sqs_managed_sse_enabled = local.sse_sqs
  kms_master_key_id       = var.key_arn

  tags = local.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.predictions.arn]
  })
}

resource "aws_sqs_queue" "rejects" {
  count = local.with_rejects ? 1 : 0

  name = "${var.name}-rejects"

  visibility_timeout_seconds = 60
  message_retention_seconds  = local.retention

  sqs_managed_sse_enabled = local.sse_sqs
  kms_master_key_id       = var.key_arn

  tags = local.tags
}

# The queue of the buckets' events and of the ranges that the workers send. Its dead letters are events or ranges, which
# `worker redrive` could not send back to the queue of predictions, so it has a dead-letter queue of its own.
resource "aws_sqs_queue" "objects" {
  count = local.with_objects ? 1 : 0

  name = "${var.name}-objects"

  # A range takes longer than a prediction: docs/objects.md asks for 2 minutes.
  visibility_timeout_seconds = max(120, var.queue.visibility_seconds)
  message_retention_seconds  = local.retention
  receive_wait_time_seconds  = 20

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.objects_dead_letters[0].arn
    maxReceiveCount     = var.queue.max_receives
  })

  sqs_managed_sse_enabled = local.sse_sqs
  kms_master_key_id       = var.key_arn

  tags = local.tags
}

resource "aws_sqs_queue" "objects_dead_letters" {
  count = local.with_objects ? 1 : 0

  name = "${var.name}-objects-dead-letters"

  message_retention_seconds = 14 * local.day

  sqs_managed_sse_enabled = local.sse_sqs
  kms_master_key_id       = var.key_arn

  tags = local.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "objects_dead_letters" {
  count = local.with_objects ? 1 : 0

  queue_url = aws_sqs_queue.objects_dead_letters[0].id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.objects[0].arn]
  })
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.queues

  queue_url = each.value.id
  policy    = local.policies["queue-${each.key}"]
}
