locals {
  with_service = var.service != null

  own_security_group = local.with_service ? length(var.service.security_groups) == 0 : false
  own_cluster        = local.with_service ? var.service.cluster_name == null : false
  cluster_name       = local.own_cluster ? aws_ecs_cluster.worker[0].name : try(var.service.cluster_name, null)
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

  # Without it the provider refuses another strategy, and replaced the service for it until version 6.
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
