data "aws_partition" "current" {}

locals {
  # The Pulumi component has the same files. Their placeholders have the syntax of templates. Terraform and OpenTofu download
  # the whole repository of a Git source, so that a path out of the module's folder works ("Modules in Package
  # Sub-directories").
  policy_files = "${path.module}/../pulumi/policies"

  # What the placeholders stand for.
  policy_names = merge(
    {
      QueueArn           = aws_sqs_queue.predictions.arn
      DeadLetterQueueArn = aws_sqs_queue.dead_letters.arn
      TableArn           = aws_dynamodb_table.predictions.arn
    },
    { for queue in aws_sqs_queue.rejects : "RejectQueueArn" => queue.arn },
    { for queue in aws_sqs_queue.objects : "ObjectsQueueArn" => queue.arn },
    var.key_arn == null ? {} : { KeyArn = var.key_arn },
  )

  with_key = var.key_arn != null
  account  = split(":", aws_sqs_queue.predictions.arn)[4]

  # The files of each policy.
  policy_parts = {
    worker = compact([
      "worker",
      local.with_rejects ? "worker-rejects" : "",
      lookup(var.worker_settings, "WORKER_ORDERING", "") == "newest" ? "worker-newest" : "",
      lookup(var.worker_settings, "WORKER_DELETES", "") == "remove" ? "worker-deletes" : "",
      local.with_key ? "worker-key" : "",
      local.with_objects ? "worker-objects" : "",
    ])
    reader    = compact(["reader", local.with_key ? "reader-key" : ""])
    publisher = compact(["publisher", local.with_key ? "publisher-key" : ""])
    redrive = var.redrive ? compact([
      "redrive-dead-letters",
      local.with_rejects ? "redrive" : "",
      local.with_key ? "publisher-key" : "",
    ]) : []
    scaler = var.scaler ? compact(["scaler", local.with_objects ? "scaler-objects" : ""]) : []
  }

  bucket_arns     = "arn:${data.aws_partition.current.partition}:s3:::"
  object_prefixes = local.with_objects ? [for p in var.objects.prefixes : regex("^([^/]*)/?(.*)$", p)] : []

  # Statements of the worker for each prefix and key of the objects.
  object_statements = flatten(concat(
    [for p in local.object_prefixes : jsondecode(templatefile("${local.policy_files}/worker-objects-read.json", {
      BucketArn     = "${local.bucket_arns}${p[0]}"
      ObjectsPrefix = p[1]
    })).Statement],
    [for arn in local.with_objects ? var.objects.key_arns : [] : jsondecode(templatefile("${local.policy_files}/worker-objects-key.json", {
      ObjectsKeyArn = arn
    })).Statement],
  ))

  # The policies of the queues themselves. Each refuses plain HTTP ("Amazon SQS security best practices"). That of the objects
  # also lets each bucket send its events, and nobody else ("Granting permissions to publish event notification messages to a
  # destination").
  queues = merge(
    { predictions = aws_sqs_queue.predictions, dead-letters = aws_sqs_queue.dead_letters },
    { for queue in aws_sqs_queue.rejects : "rejects" => queue },
    { for queue in aws_sqs_queue.objects : "objects" => queue },
    { for queue in aws_sqs_queue.objects_dead_letters : "objects-dead-letters" => queue },
  )
  queue_statements = {
    for name, queue in local.queues : "queue-${name}" => flatten(concat(
      [jsondecode(templatefile("${local.policy_files}/queue-tls.json", { AnyQueueArn = queue.arn })).Statement],
      [for bucket in name == "objects" ? distinct(sort([for p in local.object_prefixes : p[0]])) : [] :
        jsondecode(templatefile("${local.policy_files}/objects-queue.json", {
          ObjectsQueueArn = queue.arn
          BucketArn       = "${local.bucket_arns}${bucket}"
          BucketOwner     = coalesce(var.objects.bucket_owner, local.account)
        })).Statement
      ],
    ))
  }

  statements = merge(
    {
      for policy, files in local.policy_parts : policy => concat(
        flatten([for file in files : jsondecode(templatefile("${local.policy_files}/${file}.json", local.policy_names)).Statement]),
        [for s in local.object_statements : s if policy == "worker"],
      )
    },
    local.queue_statements,
  )

  # Identifiers of statements must be unique within a policy ("IAM JSON policy elements: Sid"), so repeated ones are numbered.
  sids = { for policy, statements in local.statements : policy => [for s in statements : s.Sid] }
  policies = {
    for policy, statements in local.statements : policy => jsonencode({
      Version = "2012-10-17"
      Statement = [
        for i, s in statements : merge(s, {
          Sid = index(local.sids[policy], s.Sid) == i ? s.Sid : "${s.Sid}${length([for sid in slice(local.sids[policy], 0, i + 1) : sid if sid == s.Sid])}"
        })
      ]
    })
  }
}

# IAM's names are unique in an account, over all regions. So they are prefixes.
resource "aws_iam_policy" "worker" {
  name_prefix = "${var.name}-worker-"
  description = "What predcache's worker may do"
  policy      = local.policies["worker"]

  tags = local.tags
}

resource "aws_iam_policy" "reader" {
  name_prefix = "${var.name}-reader-"
  description = "Reads predictions"
  policy      = local.policies["reader"]

  tags = local.tags
}

resource "aws_iam_policy" "publisher" {
  name_prefix = "${var.name}-publisher-"
  description = "Publishes predictions"
  policy      = local.policies["publisher"]

  tags = local.tags
}

resource "aws_iam_policy" "redrive" {
  count = var.redrive ? 1 : 0

  name_prefix = "${var.name}-redrive-"
  description = "Sends rejects and dead letters back to the queue"
  policy      = local.policies["redrive"]

  tags = local.tags
}

resource "aws_iam_policy" "scaler" {
  count = var.scaler ? 1 : 0

  name_prefix = "${var.name}-scaler-"
  description = "Lets KEDA ask how long the queues are"
  policy      = local.policies["scaler"]

  tags = local.tags
}

# The role that EKS Pod Identity gives to the worker's pods.
resource "aws_iam_role" "pod" {
  count = var.pod_identity ? 1 : 0

  name_prefix = "${var.name}-pod-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })

  tags = local.tags
}

resource "aws_iam_role_policy_attachment" "pod" {
  count = var.pod_identity ? 1 : 0

  role       = aws_iam_role.pod[0].name
  policy_arn = aws_iam_policy.worker.arn
}
