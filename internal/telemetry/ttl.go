package telemetry

// TTL adds the metric of the table's TTL setting, and returns what sets it. It is for a worker that may ask the table.
func (m *Metrics) TTL() func(on bool) {
	g := m.gauge("table_ttl_enabled", "1 if the table's TTL is on, 0 if it is off, as of the start or the last hourly look. Not there where the worker may not ask.")
	return func(on bool) { g.Set(truth(on)) }
}
