data "aws_region" "current" {}

locals {
  # The worker's settings without what the platform adds.
  worker_environment = merge(
    {
      WORKER_QUEUE_URL  = aws_sqs_queue.predictions.id
      WORKER_TABLE_NAME = aws_dynamodb_table.predictions.name
    },
    { for queue in aws_sqs_queue.rejects : "WORKER_REJECT_QUEUE_URL" => queue.id },
    { for queue in aws_sqs_queue.objects : "WORKER_OBJECTS_QUEUE_URL" => queue.id },
    local.with_objects ? { WORKER_OBJECTS = join(",", var.objects.prefixes) } : {},
    try(var.objects.bucket_owner, null) == null ? {} : { WORKER_OBJECTS_BUCKET_OWNER = var.objects.bucket_owner },
    var.worker_settings,
  )

  # The ID works with the versions 5 and 6 of the provider.
  region = local.with_service ? coalesce(var.service.region, data.aws_region.current.id) : null

  # Go would use at least two processors even if the task has less than one.
  task_environment = local.with_service ? merge(
    { AWS_REGION = local.region, GOMAXPROCS = tostring(max(1, floor(var.service.cpu / 1024))) },
    local.worker_environment,
  ) : {}

  log_options = {
    awslogs-group  = one(aws_cloudwatch_log_group.worker[*].name)
    awslogs-region = local.region
    # A slow CloudWatch must not block the container.
    mode            = "non-blocking"
    max-buffer-size = "4m"
  }

  worker_container = local.with_service ? merge(
    {
      name                   = "worker"
      image                  = var.service.image
      essential              = true
      command                = ["run"]
      environment            = [for name, value in local.task_environment : { name = name, value = value }]
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = false }
      stopTimeout            = floor(local.stop_timeout)
      portMappings           = [{ containerPort = 9090, hostPort = 9090, protocol = "tcp", name = "metrics" }]
      healthCheck            = { command = ["CMD", "/worker", "health"], interval = 10, timeout = 5, retries = 3, startPeriod = 30 }
      ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      logConfiguration       = { logDriver = "awslogs", options = merge(local.log_options, { awslogs-stream-prefix = "worker" }) }
    },
    # Left out where there are none, as ECS itself does.
    length(var.service.secrets) == 0 ? null : { secrets = [for name, arn in var.service.secrets : { name = name, valueFrom = arn }] },
  ) : null

  # A sidecar without a log configuration logs beside the worker, and its end doesn't end the task unless it is essential.
  sidecar_containers = [
    for sidecar in try(var.service.sidecars, []) : merge(
      {
        essential        = false
        logConfiguration = { logDriver = "awslogs", options = merge(local.log_options, { awslogs-stream-prefix = sidecar.name }) }
      },
      sidecar,
    )
  ]

  # The secrets of all containers. The execution role may read these and no others ("Amazon ECS task execution IAM role",
  # Secrets Manager or Systems Manager permissions). A JSON key, version stage and version are not parts of the resource.
  secret_arns = local.with_service ? concat(
    values(var.service.secrets),
    flatten([for sidecar in var.service.sidecars : [for secret in lookup(sidecar, "secrets", []) : secret.valueFrom]]),
  ) : []
  secret_resources = {
    "kms:Decrypt" = local.with_service ? var.service.secret_key_arns : []
    "secretsmanager:GetSecretValue" = distinct(sort([
      for arn in local.secret_arns : join(":", slice(split(":", arn), 0, 7)) if split(":", arn)[2] == "secretsmanager"
    ]))
    "ssm:GetParameters" = distinct(sort([for arn in local.secret_arns : arn if split(":", arn)[2] == "ssm"]))
  }
  with_secrets = length(local.secret_arns) + length(local.secret_resources["kms:Decrypt"]) > 0
}

resource "aws_iam_role" "task" {
  count = local.with_service ? 1 : 0

  name_prefix = "${var.name}-task-"

  # Only tasks of this account and region may have the role; a cluster can't be named ("Amazon ECS task IAM role", Create the
  # task role). The principal is called so in every partition.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:ecs:${local.region}:${local.account}:*" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })

  tags = local.tags
}

resource "aws_iam_role_policy_attachment" "task" {
  count = local.with_service ? 1 : 0

  role       = aws_iam_role.task[0].name
  policy_arn = aws_iam_policy.worker.arn
}

# What sidecars call.
resource "aws_iam_role_policy_attachment" "task_more" {
  count = local.with_service ? length(var.service.task_policy_arns) : 0

  role       = aws_iam_role.task[0].name
  policy_arn = var.service.task_policy_arns[count.index]
}

# Pulls the image, reads the secrets and writes the logs; the containers never have it.
resource "aws_iam_role" "execution" {
  count = local.with_service ? 1 : 0

  name_prefix = "${var.name}-execution-"

  # AWS documents conditions for the task role alone.
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })

  tags = local.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  count = local.with_service ? 1 : 0

  role       = aws_iam_role.execution[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "secrets" {
  count = local.with_secrets ? 1 : 0

  name_prefix = "secrets-"
  role        = aws_iam_role.execution[0].name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for action, arns in local.secret_resources : { Effect = "Allow", Action = [action], Resource = arns } if length(arns) > 0]
  })
}

resource "aws_cloudwatch_log_group" "worker" {
  count = local.with_service ? 1 : 0

  name              = "/predcache/${var.name}/worker"
  retention_in_days = var.service.log_days

  tags = local.tags
}

resource "aws_ecs_task_definition" "worker" {
  count = local.with_service ? 1 : 0

  family                   = "${var.name}-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.service.cpu)
  memory                   = tostring(var.service.memory)
  task_role_arn            = aws_iam_role.task[0].arn
  execution_role_arn       = aws_iam_role.execution[0].arn
  container_definitions    = jsonencode(concat([local.worker_container], local.sidecar_containers))

  runtime_platform {
    cpu_architecture        = var.service.architecture
    operating_system_family = "LINUX"
  }

  tags = local.tags
}
