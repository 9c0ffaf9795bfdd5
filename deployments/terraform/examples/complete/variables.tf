variable "key_arn" {
  description = "ARN of a customer managed KMS key for the table, the queues and the objects."
  type        = string
}

variable "topic_arn" {
  description = "ARN of the SNS topic that the alarms notify."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
}

variable "subnets" {
  description = "Private subnets with a NAT gateway or endpoints."
  type        = list(string)
}
