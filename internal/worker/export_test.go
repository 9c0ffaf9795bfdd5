package worker

// For the tests, which are in a package of their own since they use workertest, which uses this package.

// RunTableWatch and the others run a watch by itself.
var (
	RunTableWatch = (*TableWatch).run
	NewQueueWatch = newQueueWatch
	RunQueueWatch = (*queueWatch).run
	WatchReceives = (*queueWatch).watchReceives
)
