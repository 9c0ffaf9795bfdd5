output "prediction_cache_table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.predictions.name
}

output "prediction_cache_table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.predictions.arn
}

output "queue_url" {
  description = "URL of the queue of predictions."
  value       = aws_sqs_queue.predictions.id
}

output "queue_arn" {
  description = "ARN of the queue of predictions."
  value       = aws_sqs_queue.predictions.arn
}

output "reject_queue_url" {
  description = "URL of the reject queue; null with `queue.no_reject_queue`."
  value       = one(aws_sqs_queue.rejects[*].id)
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue."
  value       = aws_sqs_queue.dead_letters.id
}

output "objects_queue_url" {
  description = "URL of the queue of S3's events; null without `objects`."
  value       = one(aws_sqs_queue.objects[*].id)
}

output "objects_queue_arn" {
  description = "ARN of the queue of S3's events, for the buckets' notification configurations; null without `objects`."
  value       = one(aws_sqs_queue.objects[*].arn)

  # S3 sends a test message when the notification is configured, so the queue's policy must be there before.
  depends_on = [aws_sqs_queue_policy.this]
}

output "objects_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of S3's events; null without `objects`."
  value       = one(aws_sqs_queue.objects_dead_letters[*].id)
}

output "worker_policy_arn" {
  description = "ARN of the worker's policy."
  value       = aws_iam_policy.worker.arn
}

output "reader_policy_arn" {
  description = "ARN of the policy for services that read predictions."
  value       = aws_iam_policy.reader.arn
}

output "publisher_policy_arn" {
  description = "ARN of the policy for whoever publishes predictions."
  value       = aws_iam_policy.publisher.arn
}

output "redrive_policy_arn" {
  description = "ARN of the policy for `worker redrive`; null without `redrive`."
  value       = one(aws_iam_policy.redrive[*].arn)
}

output "scaler_policy_arn" {
  description = "ARN of the policy for KEDA's operator; null without `scaler`."
  value       = one(aws_iam_policy.scaler[*].arn)
}

output "worker_role_arn" {
  description = "ARN of the role for EKS Pod Identity; null without `pod_identity`."
  value       = one(aws_iam_role.pod[*].arn)
}

output "worker_environment" {
  description = "The worker's settings, as environment variables."
  value       = local.worker_environment
}

output "service_name" {
  description = "Name of the ECS service; null without `service`."
  value       = one(aws_ecs_service.worker[*].name)
}

output "task_definition_arn" {
  description = "ARN of the worker's task definition; null without `service`."
  value       = one(aws_ecs_task_definition.worker[*].arn)
}

output "log_group_name" {
  description = "Name of the worker's log group; null without `service`."
  value       = one(aws_cloudwatch_log_group.worker[*].name)
}
