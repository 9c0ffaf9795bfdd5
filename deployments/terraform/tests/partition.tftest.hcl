mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn" }
  }

  mock_data "aws_region" {
    defaults = { id = "cn-north-1" }
  }

  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws-cn:sqs:cn-north-1:123456789012:queue" }
  }

  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/predictions" }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws-cn:iam::123456789012:policy/policy" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws-cn:iam::123456789012:role/role" }
  }
}

# ARNs have the partition that the provider is in.
run "china" {
  variables {
    objects = { prefixes = ["scores/daily/"] }
    service = {
      image   = "registry.example/predcache:v1.2.3"
      vpc_id  = "vpc-0a1b2c3d"
      subnets = ["subnet-0a1b2c3d"]
    }
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_policy.worker.policy).Statement : s.Resource if s.Sid == "ReadObjects"] == ["arn:aws-cn:s3:::scores/daily/*"]
    error_message = "The bucket is in another partition."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this["objects"].policy).Statement[1].Condition.ArnEquals["aws:SourceArn"] == "arn:aws-cn:s3:::scores"
    error_message = "A bucket of another partition may send events."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.execution[0].policy_arn == "arn:aws-cn:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    error_message = "The execution role's policy is of another partition."
  }

  assert {
    condition     = jsondecode(aws_iam_role.task[0].assume_role_policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws-cn:ecs:cn-north-1:123456789012:*"
    error_message = "The task's role trusts tasks of another partition."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker[0].container_definitions)[0].logConfiguration.options["awslogs-region"] == "cn-north-1"
    error_message = "The logs are in another region."
  }
}
