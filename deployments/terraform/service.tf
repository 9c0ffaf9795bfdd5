data "aws_region" "current" {}

locals {
  with_service = var.service != null

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

  # The worker's container first.
  container_definitions = local.with_service ? jsonencode(concat([merge(
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
      logConfiguration       = merge(local.logs, { options = merge(local.logs.options, { awslogs-stream-prefix = "worker" }) })
    },
    { for field in ["secrets"] : field => [for name, arn in var.service.secrets : { name = name, valueFrom = arn }] if length(var.service.secrets) > 0 },
    )], [
    # A sidecar without a log configuration logs beside the worker, and its end doesn't end the task unless it is essential.
    for sidecar in var.service.sidecars : merge(
      { essential = false, logConfiguration = merge(local.logs, { options = merge(local.logs.options, { awslogs-stream-prefix = sidecar.name }) }) },
      sidecar,
    )
  ])) : null

  logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group  = one(aws_cloudwatch_log_group.worker[*].name)
      awslogs-region = local.region
      # A slow CloudWatch must not block the container.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  own_security_group = local.with_service ? length(var.service.security_groups) == 0 : false
  own_cluster        = local.with_service ? var.service.cluster_name == null : false
  cluster_name       = local.own_cluster ? aws_ecs_cluster.worker[0].name : try(var.service.cluster_name, null)

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
  container_definitions    = local.container_definitions

  runtime_platform {
    cpu_architecture        = var.service.architecture
    operating_system_family = "LINUX"
  }

  tags = local.tags
}

resource "aws_security_group" "worker" {
  count = local.own_security_group ? 1 : 0

  name_prefix = "${var.name}-worker-"
  description = "predcache's worker: HTTPS out, nothing in"
  vpc_id      = var.service.vpc_id

  tags = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "worker" {
  for_each = local.own_security_group ? local.egress_rules : {}

  security_group_id = aws_security_group.worker[0].id
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.family == "ipv4" ? "0.0.0.0/0" : null
  cidr_ipv6         = each.value.family == "ipv6" ? "::/0" : null

  tags = local.tags
}

resource "aws_ecs_cluster" "worker" {
  count = local.own_cluster ? 1 : 0

  name = "${var.name}-worker"

  # Container Insights count the tasks.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  tags = local.tags
}

resource "aws_ecs_cluster_capacity_providers" "worker" {
  count = local.own_cluster ? 1 : 0

  cluster_name       = aws_ecs_cluster.worker[0].name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_service" "worker" {
  count = local.with_service ? 1 : 0

  name             = "${var.name}-worker"
  cluster          = local.cluster_name
  task_definition  = aws_ecs_task_definition.worker[0].arn
  desired_count    = var.service.min_tasks
  platform_version = "LATEST"

  # The provider would replace the service for another strategy without it.
  force_new_deployment = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = var.service.spot_share > 0 ? var.service.on_demand_tasks : 0
    weight            = var.service.spot_share > 0 ? 100 - var.service.spot_share : 1
  }

  dynamic "capacity_provider_strategy" {
    for_each = var.service.spot_share > 0 ? [var.service.spot_share] : []

    content {
      capacity_provider = "FARGATE_SPOT"
      base              = 0
      weight            = capacity_provider_strategy.value
    }
  }

  # A rollout that doesn't become healthy is rolled back. New tasks start before the old ones stop: SQS serves both.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  network_configuration {
    subnets          = var.service.subnets
    security_groups  = local.own_security_group ? [aws_security_group.worker[0].id] : var.service.security_groups
    assign_public_ip = var.service.assign_public_ip
  }

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  tags = local.tags

  # The tasks need their permissions and the way out until the last of them has drained, and the cluster its capacity providers.
  depends_on = [
    aws_ecs_cluster_capacity_providers.worker,
    aws_iam_role_policy_attachment.task,
    aws_iam_role_policy_attachment.task_more,
    aws_iam_role_policy_attachment.execution,
    aws_iam_role_policy.secrets,
    aws_vpc_security_group_egress_rule.worker,
  ]

  lifecycle {
    ignore_changes = [desired_count] # autoscaling sets it
  }
}

resource "aws_appautoscaling_target" "service" {
  count = local.with_service ? 1 : 0

  service_namespace  = "ecs"
  resource_id        = "service/${local.cluster_name}/${aws_ecs_service.worker[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.service.min_tasks
  max_capacity       = var.service.max_tasks

  tags = local.tags
}

# Keeps the backlog of each task at messages_per_task.
resource "aws_appautoscaling_policy" "service" {
  count = local.with_service ? 1 : 0

  name               = "${var.name}-worker"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service[0].service_namespace
  resource_id        = aws_appautoscaling_target.service[0].resource_id
  scalable_dimension = aws_appautoscaling_target.service[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.service.messages_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      metrics {
        id          = "waiting"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"

            dimensions {
              name  = "QueueName"
              value = aws_sqs_queue.predictions.name
            }
          }
        }
      }

      metrics {
        id          = "tasks"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = local.cluster_name
            }

            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.worker[0].name
            }
          }
        }
      }

      # SQS sends no metrics for a queue that has long been empty, and a service may have no task for a while.
      metrics {
        id          = "backlog"
        label       = "Messages waiting per task"
        expression  = "FILL(waiting, 0) / IF(FILL(tasks, 1) > 0, FILL(tasks, 1), 1)"
        return_data = true
      }
    }
  }
}
