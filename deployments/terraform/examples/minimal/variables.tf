variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
}

variable "subnets" {
  description = "Private subnets with a NAT gateway or endpoints."
  type        = list(string)
}
