package worker

// For the tests, which are in a package of their own since they use workertest, which uses this package.

// RunTableWatch and the others export what these tests use.
var (
	RunTableWatch = (*TableWatch).run
	NewQueueWatch = newQueueWatch
	RunQueueWatch = (*queueWatch).run
	WatchReceives = (*queueWatch).wrap
)
