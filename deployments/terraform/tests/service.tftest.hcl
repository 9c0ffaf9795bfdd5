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

variables {
  service = {
    image   = "ghcr.io/predcache/worker:v1.2.3"
    vpc_id  = "vpc-0a1b2c3d"
    subnets = ["subnet-0a1b2c3d", "subnet-4e5f6a7b"]
  }
}

run "defaults" {
  assert {
    condition     = aws_ecs_task_definition.worker[0].cpu == "512" && aws_ecs_task_definition.worker[0].memory == "1024" && aws_ecs_task_definition.worker[0].runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "The task is not half a vCPU and 1 GB on ARM64."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].image == "ghcr.io/predcache/worker:v1.2.3"
    error_message = "The worker's image is another."
  }

  assert {
    condition     = { for e in jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].environment : e.name => e.value } == merge(output.worker_environment, { AWS_REGION = "eu-west-1", GOMAXPROCS = "1" })
    error_message = "The worker's environment is not its settings, the region and GOMAXPROCS."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].stopTimeout == 35
    error_message = "The task is not killed ten seconds after the end of the drain."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].logConfiguration.options.awslogs-group == output.log_group_name && output.log_group_name == "/predcache/predictions/worker"
    error_message = "The worker's logs go elsewhere."
  }

  assert {
    condition     = { for name, r in aws_vpc_security_group_egress_rule.worker : name => "${r.from_port} to ${coalesce(r.cidr_ipv4, r.cidr_ipv6)}" } == { "443-ipv4" = "443 to 0.0.0.0/0", "443-ipv6" = "443 to ::/0" }
    error_message = "The security group allows something else than HTTPS out."
  }

  assert {
    condition     = { for s in aws_ecs_service.worker[0].capacity_provider_strategy : s.capacity_provider => [s.base, s.weight] } == { FARGATE = [1, 25], FARGATE_SPOT = [0, 75] }
    error_message = "The tasks are not one on demand and three quarters of the others on Spot."
  }

  assert {
    condition     = aws_appautoscaling_target.service[0].resource_id == "service/predictions-worker/predictions-worker" && aws_appautoscaling_target.service[0].max_capacity == 10
    error_message = "The service is not scaled to ten tasks."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.execution[0].policy_arn == "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy" && aws_iam_role_policy_attachment.task[0].policy_arn == aws_iam_policy.worker.arn
    error_message = "A role has another policy."
  }

  assert {
    condition     = output.service_name == "predictions-worker"
    error_message = "The output names another service."
  }
}

run "shared_cluster" {
  variables {
    service = {
      image           = "ghcr.io/predcache/worker:v1.2.3"
      region          = "eu-central-1"
      subnets         = ["subnet-0a1b2c3d"]
      security_groups = ["sg-0a1b2c3d"]
      cluster_name    = "shared"
      cpu             = 4096
      memory          = 8192
      spot_share      = 0
      on_demand_tasks = 2
    }
    worker_settings = {
      WORKER_DRAIN_TIMEOUT        = "1m5.5s"
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://collector:4318"
    }
  }

  assert {
    condition     = length(aws_ecs_cluster.worker) == 0 && aws_ecs_service.worker[0].cluster == "shared" && aws_appautoscaling_target.service[0].resource_id == "service/shared/predictions-worker"
    error_message = "The service is not in the cluster that is given."
  }

  assert {
    condition     = length(aws_security_group.worker) == 0 && aws_ecs_service.worker[0].network_configuration[0].security_groups == toset(["sg-0a1b2c3d"])
    error_message = "The tasks have another security group."
  }

  assert {
    condition     = { for s in aws_ecs_service.worker[0].capacity_provider_strategy : s.capacity_provider => [s.base, s.weight] } == { FARGATE = [0, 1] }
    error_message = "Tasks run on Spot."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].stopTimeout == 75
    error_message = "The task is not killed ten seconds after the end of the drain."
  }

  assert {
    condition     = { for e in jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].environment : e.name => e.value if contains(["AWS_REGION", "GOMAXPROCS"], e.name) } == { AWS_REGION = "eu-central-1", GOMAXPROCS = "4" }
    error_message = "The worker has another region or number of processors."
  }
}

run "collector" {
  variables {
    worker_settings = {
      OTEL_EXPORTER_OTLP_ENDPOINT         = "http://collector:4318"
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT  = "http://localhost:4317"
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT = "http://metrics/v1/metrics"
      GOMAXPROCS                          = "2"
    }
  }

  assert {
    condition     = keys(aws_vpc_security_group_egress_rule.worker) == ["4318-ipv4", "4318-ipv6", "443-ipv4", "443-ipv6", "80-ipv4", "80-ipv6"]
    error_message = "The security group doesn't allow traces and metrics to the collectors, or allows something else too."
  }

  assert {
    condition     = [for e in jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].environment : e.value if e.name == "GOMAXPROCS"] == ["2"]
    error_message = "GOMAXPROCS is not what is set."
  }
}

run "secrets_and_sidecars" {
  variables {
    service = {
      image           = "ghcr.io/predcache/worker:v1.2.3"
      vpc_id          = "vpc-0a1b2c3d"
      subnets         = ["subnet-0a1b2c3d"]
      secrets         = { OTEL_EXPORTER_OTLP_HEADERS = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf:headers::" }
      secret_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd"]
      sidecars = [
        {
          name              = "collector"
          image             = "otel/opentelemetry-collector-contrib:1"
          memoryReservation = 256
          secrets           = [{ name = "CONFIG", valueFrom = "arn:aws:ssm:eu-west-1:123456789012:parameter/collector" }]
        },
        { name = "audit", image = "audit:1", essential = true, logConfiguration = { logDriver = "awsfirelens" } },
      ]
      task_policy_arns = ["arn:aws:iam::123456789012:policy/collector", "arn:aws:iam::123456789012:policy/audit"]
    }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].secrets == [{ name = "OTEL_EXPORTER_OTLP_HEADERS", valueFrom = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf:headers::" }]
    error_message = "The worker has other secrets."
  }

  assert {
    condition     = [for c in jsondecode(aws_ecs_task_definition.worker[0].container_definitions) : "${c.name} ${c.essential} ${c.logConfiguration.logDriver}"] == ["worker true awslogs", "collector false awslogs", "audit true awsfirelens"]
    error_message = "The containers are others, or log elsewhere."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[1].logConfiguration.options["awslogs-stream-prefix"] == "collector"
    error_message = "The sidecar's logs have another prefix than its name."
  }

  assert {
    condition = { for s in jsondecode(aws_iam_role_policy.secrets[0].policy).Statement : s.Action[0] => s.Resource } == {
      "kms:Decrypt"                   = ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd"]
      "secretsmanager:GetSecretValue" = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf"]
      "ssm:GetParameters"             = ["arn:aws:ssm:eu-west-1:123456789012:parameter/collector"]
    }
    error_message = "The execution role may read something else than the secrets."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.task_more[*].policy_arn == ["arn:aws:iam::123456789012:policy/collector", "arn:aws:iam::123456789012:policy/audit"]
    error_message = "The task's role has other policies."
  }

  assert {
    condition     = jsondecode(aws_iam_role.task[0].assume_role_policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:ecs:eu-west-1:123456789012:*"
    error_message = "Tasks of another account or region may have the task's role."
  }
}
