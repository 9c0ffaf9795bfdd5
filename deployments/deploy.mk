# What deploys the worker, checked. The Makefile at the top includes this file.

DEPLOY_TOOLS := deployments/tools/install.sh

.PHONY: deploy-check
deploy-check: ## Check the image's file, the chart, alerts, policies, workflows, task definition and Pulumi component
	$(DEPLOY_TOOLS) python helm kubeconform schemas promtool actionlint
	.cache/deploy/bin/hadolint Dockerfile
	.cache/deploy/bin/actionlint .github/workflows/*.yml
	.cache/deploy/bin/zizmor --offline --quiet --persona=pedantic .github
	go -C deployments vet ./...
	go -C deployments test ./...
	go -C deployments/pulumi vet ./...
	go -C deployments/pulumi test ./...

.PHONY: deploy-test
deploy-test: deploy-check ## The same, and what takes long: Pulumi against a stand-in, the image built and run, a release made
	$(DEPLOY_TOOLS) pulumi goreleaser docker
	dev/standins/run.sh go -C deployments test -count=1 -tags long -timeout 40m ./...
	dev/standins/run.sh go -C deployments/pulumi test -count=1 -tags long -timeout 40m ./...
