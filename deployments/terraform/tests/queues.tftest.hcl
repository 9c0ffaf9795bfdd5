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

run "defaults" {
  assert {
    condition     = aws_sqs_queue.predictions.visibility_timeout_seconds == 60 && aws_sqs_queue.predictions.receive_wait_time_seconds == 20
    error_message = "The queue's timeouts are not 60 and 20 s."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.predictions.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 50 }
    error_message = "The queue's redrive policy is not 50 receives."
  }

  assert {
    condition     = alltrue([for q in local.queues : q.message_retention_seconds == 1209600])
    error_message = "A queue keeps messages for another time than 14 days."
  }

  assert {
    condition     = alltrue([for q in local.queues : q.sqs_managed_sse_enabled && q.kms_master_key_id == null])
    error_message = "A queue is not encrypted by SQS."
  }

  assert {
    condition     = keys(local.queues) == ["dead-letters", "predictions", "rejects"]
    error_message = "The queues are others."
  }

  assert {
    condition     = alltrue([for p in aws_sqs_queue_policy.this : jsondecode(p.policy).Statement[0].Sid == "TLSOnly"])
    error_message = "A queue takes plain HTTP."
  }

  assert {
    condition     = keys(output.worker_environment) == ["WORKER_QUEUE_URL", "WORKER_REJECT_QUEUE_URL", "WORKER_TABLE_NAME"]
    error_message = "The worker has other settings."
  }

  assert {
    condition     = output.objects_queue_url == null && output.redrive_policy_arn == null && output.worker_role_arn == null && output.service_name == null
    error_message = "There is an output of what was not asked for."
  }
}

run "no_reject_queue" {
  variables {
    queue = {
      visibility_seconds = 300
      retention_days     = 2
      max_receives       = 100
      no_reject_queue    = true
    }
    redrive = true
  }

  assert {
    condition     = length(aws_sqs_queue.rejects) == 0 && output.reject_queue_url == null
    error_message = "There is a reject queue."
  }

  assert {
    condition     = aws_sqs_queue.predictions.visibility_timeout_seconds == 300 && aws_sqs_queue.predictions.message_retention_seconds == 172800
    error_message = "The queue has another timeout or retention."
  }

  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds == 1209600
    error_message = "The dead-letter queue keeps messages for less than 14 days."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.redrive[0].policy).Statement : s.Sid] == ["TakeDeadLetters", "SendDeadLettersBack"]
    error_message = "The policy for redrives has other statements."
  }
}

run "objects" {
  variables {
    objects = {
      prefixes     = ["scores/daily/", "scores/backfill", "forecasts"]
      bucket_owner = "210987654321"
      key_arns     = ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd"]
    }
    scaler = true
  }

  assert {
    condition     = output.worker_environment.WORKER_OBJECTS == "scores/daily/,scores/backfill,forecasts" && output.worker_environment.WORKER_OBJECTS_BUCKET_OWNER == "210987654321"
    error_message = "The worker's settings of objects are others."
  }

  assert {
    condition = [for s in jsondecode(aws_iam_policy.worker.policy).Statement : s.Sid] == [
      "Consume", "Write", "Reject", "ConsumeObjects",
      "ReadObjects", "ListObjects", "ReadObjects2", "ListObjects2", "ReadObjects3", "ListObjects3", "ObjectsKey",
    ]
    error_message = "The worker's policy has other statements."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.worker.policy).Statement : s.Resource if startswith(s.Sid, "ReadObjects")] == ["arn:aws:s3:::scores/daily/*", "arn:aws:s3:::scores/backfill*", "arn:aws:s3:::forecasts/*"]
    error_message = "The worker may read other objects."
  }

  assert {
    condition     = [for s in jsondecode(aws_sqs_queue_policy.this["objects"].policy).Statement : try(s.Condition.ArnEquals["aws:SourceArn"], s.Sid)] == ["TLSOnly", "arn:aws:s3:::forecasts", "arn:aws:s3:::scores"]
    error_message = "Other buckets may send events."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this["objects"].policy).Statement[1].Condition.StringEquals["aws:SourceAccount"] == "210987654321"
    error_message = "Buckets of another account may send events."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.scaler[0].policy).Statement : s.Sid] == ["AskTheQueue", "AskCloudWatch", "AskTheQueueOfObjects"]
    error_message = "The scaler's policy has other statements."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.objects[0].redrive_policy).maxReceiveCount == 50 && aws_sqs_queue.objects_dead_letters[0].name == "predictions-objects-dead-letters"
    error_message = "The objects' dead letters go elsewhere."
  }

  assert {
    condition     = aws_sqs_queue.predictions.visibility_timeout_seconds == 60 && aws_sqs_queue.objects[0].visibility_timeout_seconds == 120
    error_message = "The objects queue has another visibility timeout than 2 minutes."
  }
}

run "account_of_the_stack" {
  variables {
    objects = { prefixes = ["scores"] }
    queue   = { visibility_seconds = 300 }
  }

  assert {
    condition     = aws_sqs_queue.objects[0].visibility_timeout_seconds == 300
    error_message = "The objects queue has a shorter visibility timeout than queue.visibility_seconds."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this["objects"].policy).Statement[1].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Buckets of another account may send events."
  }
}

run "policies" {
  variables {
    key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    worker_settings = { WORKER_ORDERING = "newest", WORKER_DELETES = "remove" }
    redrive         = true
    pod_identity    = true
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.worker.policy).Statement : s.Sid] == ["Consume", "Write", "Reject", "WriteNewest", "RemoveDeleted", "Key"]
    error_message = "The worker's policy has other statements."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.reader.policy).Statement : s.Sid] == ["Read", "Key"] && [for s in jsondecode(aws_iam_policy.publisher.policy).Statement : s.Sid] == ["Publish", "Key"]
    error_message = "The policies of readers and publishers have other statements."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.redrive[0].policy).Statement : s.Sid] == ["TakeDeadLetters", "SendDeadLettersBack", "TakeRejects", "SendBack", "Key"]
    error_message = "The policy for redrives has other statements."
  }

  assert {
    condition     = jsondecode(aws_iam_policy.worker.policy).Statement[5].Resource == "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    error_message = "The worker may use another key."
  }

  assert {
    condition     = jsondecode(aws_iam_role.pod[0].assume_role_policy).Statement[0].Principal.Service == "pods.eks.amazonaws.com" && aws_iam_role_policy_attachment.pod[0].policy_arn == aws_iam_policy.worker.arn
    error_message = "The pods' role is of another service, or may do something else."
  }

  assert {
    condition     = alltrue([for q in local.queues : q.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"])
    error_message = "A queue has another key."
  }
}
