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

run "provisioned" {
  variables {
    billing = {
      mode            = "provisioned"
      min_read_units  = 5
      max_read_units  = 50
      min_write_units = 10
      max_write_units = 100
    }
  }

  assert {
    condition     = aws_dynamodb_table.predictions.billing_mode == "PROVISIONED" && aws_dynamodb_table.predictions.read_capacity == 5 && aws_dynamodb_table.predictions.write_capacity == 10
    error_message = "The table doesn't begin with the least capacity."
  }

  assert {
    condition     = aws_appautoscaling_target.table["read"].min_capacity == 5 && aws_appautoscaling_target.table["read"].max_capacity == 50
    error_message = "Reads are not scaled from 5 to 50."
  }

  assert {
    condition     = aws_appautoscaling_target.table["write"].min_capacity == 10 && aws_appautoscaling_target.table["write"].max_capacity == 100
    error_message = "Writes are not scaled from 10 to 100."
  }

  assert {
    condition     = aws_appautoscaling_target.table["write"].resource_id == "table/predictions" && aws_appautoscaling_policy.table["write"].target_tracking_scaling_policy_configuration[0].target_value == 70
    error_message = "Writes of the table are not scaled at 70 %."
  }
}
