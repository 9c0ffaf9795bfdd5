output "predcache" {
  description = "Every output of the module."
  value       = module.predcache
}
