output "queue_url" {
  description = "Where to publish predictions."
  value       = module.predcache.queue_url
}

output "prediction_cache_table_name" {
  description = "Where to read them."
  value       = module.predcache.prediction_cache_table_name
}

output "log_group_name" {
  description = "The worker's logs, for `aws logs tail`."
  value       = module.predcache.log_group_name
}
