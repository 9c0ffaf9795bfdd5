package telemetry

// Signs are the metrics of trouble that SQS doesn't tell by an error.
type Signs struct {
	// NearRetention is told of messages that SQS will soon delete unread.
	NearRetention func(messages int)
	// InFlightLimit is told whether the queue's limit of messages in flight is reached.
	InFlightLimit func(reached bool)
}

// Signs adds these metrics, and returns what sets them.
func (m *Metrics) Signs() Signs {
	near := m.counter("messages_near_retention_total", "Messages received in the last quarter of the queue's retention: SQS deletes what it keeps for longer, unread.")
	limit := m.gauge("in_flight_limit_reached", "1 if the queue has as many messages in flight as SQS allows and others waiting: receives then stay empty, without an error.")
	return Signs{
		NearRetention: func(messages int) { near.Add(float64(messages)) },
		InFlightLimit: func(reached bool) { limit.Set(truth(reached)) },
	}
}
