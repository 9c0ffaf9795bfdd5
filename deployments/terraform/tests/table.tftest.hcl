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

run "versioned" {
  assert {
    condition     = aws_dynamodb_table.predictions.name == "predictions"
    error_message = "The table's name is not the module's."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.hash_key == "predictionId" && aws_dynamodb_table.predictions.range_key == "timestamp"
    error_message = "The keys are not predictionId and timestamp."
  }

  assert {
    condition     = tomap({ for a in aws_dynamodb_table.predictions.attribute : a.name => a.type }) == tomap({ predictionId = "S", timestamp = "N" })
    error_message = "The keys have other types than S and N."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.ttl[0].attribute_name == "expiresAt" && aws_dynamodb_table.predictions.ttl[0].enabled
    error_message = "TTL is not on expiresAt."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.billing_mode == "PAY_PER_REQUEST" && length(aws_dynamodb_table.predictions.on_demand_throughput) == 0
    error_message = "The table is not on demand, without a maximum."
  }

  assert {
    condition     = !aws_dynamodb_table.predictions.point_in_time_recovery[0].enabled && !aws_dynamodb_table.predictions.deletion_protection_enabled
    error_message = "Backups or protection are on by default."
  }

  assert {
    condition     = length(aws_dynamodb_table.predictions.server_side_encryption) == 0
    error_message = "The table has a customer managed key by default."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.tags == tomap({ Environment = "Production", Purpose = "CachePredictionOutputs" })
    error_message = "The table has other tags than the defaults."
  }

  assert {
    condition     = length(aws_appautoscaling_target.table) == 0
    error_message = "A table on demand is scaled."
  }
}

run "expiry_sorted" {
  variables {
    layout = "expiry-sorted"
  }

  assert {
    condition     = aws_dynamodb_table.predictions.range_key == "timestamp" && aws_dynamodb_table.predictions.ttl[0].attribute_name == "timestamp"
    error_message = "The sort key is not the TTL attribute."
  }
}

run "latest_only" {
  variables {
    layout        = "latest-only"
    hash_key      = "id"
    hash_key_type = "N"
  }

  assert {
    condition     = aws_dynamodb_table.predictions.range_key == null && length(aws_dynamodb_table.predictions.attribute) == 1
    error_message = "The table has a sort key."
  }

  assert {
    condition     = tomap({ for a in aws_dynamodb_table.predictions.attribute : a.name => a.type }) == tomap({ id = "N" })
    error_message = "The partition key is not id, a number."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.ttl[0].attribute_name == "expiresAt"
    error_message = "TTL is not on expiresAt."
  }
}

run "bounded" {
  variables {
    billing = { max_write_units = 1000 }
  }

  assert {
    condition     = aws_dynamodb_table.predictions.on_demand_throughput[0].max_write_request_units == 1000 && aws_dynamodb_table.predictions.on_demand_throughput[0].max_read_request_units == -1
    error_message = "The maximum of writes is not 1000, and of reads none."
  }
}

run "kept" {
  variables {
    name                   = "scores"
    table_name             = "cache-4f2a"
    point_in_time_recovery = true
    deletion_protection    = true
    key_arn                = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    tags                   = { Environment = "Staging", Team = "fraud" }
  }

  assert {
    condition     = aws_dynamodb_table.predictions.name == "cache-4f2a" && aws_sqs_queue.predictions.name == "scores"
    error_message = "The names are not those that are set."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.point_in_time_recovery[0].enabled && aws_dynamodb_table.predictions.deletion_protection_enabled
    error_message = "Backups and protection are not on."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.server_side_encryption[0].kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    error_message = "The table has another key."
  }

  assert {
    condition     = aws_dynamodb_table.predictions.tags == tomap({ Environment = "Staging", Purpose = "CachePredictionOutputs", Team = "fraud" })
    error_message = "The tags are not those that are set and the default of the other."
  }
}
