locals {
  tags = merge({ Environment = "Production", Purpose = "CachePredictionOutputs" }, var.tags)

  versions    = var.layout != "latest-only" # the table has a sort key
  provisioned = var.billing.mode == "provisioned"
  bounded     = !local.provisioned && (var.billing.max_read_units > 0 || var.billing.max_write_units > 0)
}

resource "aws_dynamodb_table" "predictions" {
  name      = coalesce(var.table_name, var.name)
  hash_key  = var.hash_key
  range_key = local.versions ? var.sort_key : null

  billing_mode   = local.provisioned ? "PROVISIONED" : "PAY_PER_REQUEST"
  read_capacity  = local.provisioned ? var.billing.min_read_units : null
  write_capacity = local.provisioned ? var.billing.min_write_units : null

  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = var.hash_key
    type = var.hash_key_type
  }

  dynamic "attribute" {
    for_each = local.versions ? [var.sort_key] : []

    content {
      name = attribute.value
      type = "N"
    }
  }

  ttl {
    attribute_name = var.layout == "expiry-sorted" ? var.sort_key : "expiresAt"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  dynamic "server_side_encryption" {
    for_each = var.key_arn == null ? [] : [var.key_arn]

    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }

  # -1 is no maximum.
  dynamic "on_demand_throughput" {
    for_each = local.bounded ? [var.billing] : []

    content {
      max_read_request_units  = on_demand_throughput.value.max_read_units > 0 ? on_demand_throughput.value.max_read_units : -1
      max_write_request_units = on_demand_throughput.value.max_write_units > 0 ? on_demand_throughput.value.max_write_units : -1
    }
  }

  tags = local.tags

  lifecycle {
    # Autoscaling sets them. A table on demand has none.
    ignore_changes = [read_capacity, write_capacity]
  }
}

locals {
  table_scaling = local.provisioned ? {
    read = {
      dimension = "dynamodb:table:ReadCapacityUnits"
      metric    = "DynamoDBReadCapacityUtilization"
      min       = var.billing.min_read_units
      max       = var.billing.max_read_units
    }
    write = {
      dimension = "dynamodb:table:WriteCapacityUnits"
      metric    = "DynamoDBWriteCapacityUtilization"
      min       = var.billing.min_write_units
      max       = var.billing.max_write_units
    }
  } : {}
}

resource "aws_appautoscaling_target" "table" {
  for_each = local.table_scaling

  service_namespace  = "dynamodb"
  resource_id        = "table/${aws_dynamodb_table.predictions.name}"
  scalable_dimension = each.value.dimension
  min_capacity       = each.value.min
  max_capacity       = each.value.max

  tags = local.tags
}

resource "aws_appautoscaling_policy" "table" {
  for_each = local.table_scaling

  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.table[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.table[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.table[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.billing.target_utilization

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
    }
  }
}
