// Package sim simulates the worker: its real pipeline, in one or several replicas, on fakes of SQS and DynamoDB, under
// seeded traffic, faults, outages and restarts, in simulated time.
//
// A plan is what a seed decides: settings, traffic, faults, and what the platform does. A simulation runs a plan. An
// oracle checks the guarantees of docs/guarantees.md at each call. Deliberate bugs, put in at the worker's seams, show
// that the oracle notices them.
package sim
