// Package sim simulates the worker: its real pipeline, in one or several replicas, on fakes of SQS and DynamoDB, under
// seeded traffic, faults, outages and restarts, in simulated time.
//
// A plan is derived from a seed: settings, traffic, faults, and platform events. A simulation runs a plan. An
// oracle checks the guarantees of docs/guarantees.md at each call. Deliberate bugs at the worker's seams prove that
// the oracle notices violations.
package sim
