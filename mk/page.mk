# The status page and the dashboard.

.PHONY: test-page
test-page: chromium ## Test the status page in a real browser: each state, at three widths, in light and dark
	PREDCACHE_REQUIRE_CHROMIUM=1 go -C dev/page test -count=1 ./...

.PHONY: pictures
pictures: chromium ## Take the screenshots of the status page in docs/images
	go -C dev/page test -count=1 -run TestStates -pictures ../../docs/images ./...

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { echo "Installing Debian's Chromium"; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

.PHONY: dashboard
dashboard: ## Generate the Grafana dashboard
	cd deployments/grafana && go run .

.PHONY: test-dashboard
test-dashboard: ## Run every query of the dashboard on a real Prometheus that scrapes a real worker
	deployments/tools/install.sh promtool
	PREDCACHE_REQUIRE_PROMETHEUS=1 go -C deployments test -count=1 ./grafana
