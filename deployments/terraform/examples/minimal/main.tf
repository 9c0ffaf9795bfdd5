# A table, its queues, and a worker that writes: nothing else is needed but a VPC.
module "predcache" {
  source = "../.."
  # Outside of the repository:
  # source = "git::https://github.com/predcache/predcache.git//deployments/terraform?ref=v1.2.3&depth=1"

  service = {
    image   = "ghcr.io/predcache/worker:v1.2.3"
    vpc_id  = var.vpc_id
    subnets = var.subnets
  }
}
