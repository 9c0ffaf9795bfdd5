module github.com/predcache/predcache/deployments/grafana

go 1.26.0

require github.com/grafana/grafana-foundation-sdk/go v0.0.22

replace github.com/predcache/predcache => ../..
