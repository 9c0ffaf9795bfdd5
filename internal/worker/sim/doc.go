// Package sim simulates the worker: its real pipeline, in one or several replicas, on fakes of SQS and DynamoDB, under
// seeded traffic, faults, outages and restarts, in simulated time. An oracle checks the guarantees at each call.
// Deliberate bugs, put in at the worker's seams, show that the oracle would notice.
package sim
