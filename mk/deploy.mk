# What deploys the worker, checked.

DEPLOY_TOOLS := deployments/tools/install.sh

DEPLOY_TEST := go -C deployments test -timeout 20m
STACK_TEST := go -C deployments/pulumi test -timeout 20m
BOTH_STACKS_TEST := go -C deployments/testproviders test -timeout 20m

.PHONY: deploy-check
deploy-check: ## Check Dockerfile, chart, alerts, policies, workflows, task definition, Terraform module and Pulumi component
	$(DEPLOY_TOOLS) python helm kubeconform schemas promtool amtool actionlint tofu terraform-docs
	.cache/deploy/bin/hadolint Dockerfile
	.cache/deploy/bin/actionlint .github/workflows/*.yml
	.cache/deploy/bin/zizmor --offline --quiet --persona=pedantic .github
	$(DEPLOY_TEST) .
	$(STACK_TEST) ./...
	$(BOTH_STACKS_TEST) ./...

.PHONY: deploy-test
deploy-test: deploy-check ## Run deploy-check, bring up stacks against stand-ins, install the chart on an API server, build and run the image, build a release
	$(DEPLOY_TOOLS) pulumi goreleaser cosign docker kubectl apiserver
	dev/standins/run.sh $(DEPLOY_TEST) -count=1 -timeout 60m -tags long .
	dev/standins/run.sh $(BOTH_STACKS_TEST) -count=1 -timeout 60m -tags long ./...

.PHONY: release-rehearsal
release-rehearsal: ## Build, sign and verify a release with a key of its own, and publish nothing
	$(DEPLOY_TOOLS) python helm goreleaser cosign docker
	$(DEPLOY_TEST) -count=1 -timeout 60m -tags long -run '^TestRelease$$' -v .
