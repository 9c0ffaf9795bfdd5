terraform {
  # Validations that refer to other variables need 1.9, in Terraform and in OpenTofu.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.77, < 7.0"
    }
  }
}
