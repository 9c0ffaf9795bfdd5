package process

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Metrics are the worker's metrics, each a series with its value.
type Metrics []series

type series struct {
	name   string
	labels map[string]string
	value  float64
}

var label = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)

// ParseMetrics reads Prometheus' text format as far as the worker uses it: without timestamps.
func ParseMetrics(text string) (Metrics, error) {
	var metrics Metrics
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("not a metric: %q", line)
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("the metric %q: %w", line, err)
		}
		name, labels, _ := strings.Cut(line[:space], "{")
		s := series{name, map[string]string{}, value}
		for _, match := range label.FindAllStringSubmatch(labels, -1) {
			s.labels[match[1]] = match[2]
		}
		metrics = append(metrics, s)
	}
	return metrics, nil
}

// Value adds up all series of a metric.
func (m Metrics) Value(name string) float64 {
	sum := 0.0
	for _, s := range m {
		if s.name == name {
			sum += s.value
		}
	}
	return sum
}

// Sum is Value for a count.
func (m Metrics) Sum(name string) int { return int(m.Value(name)) }

// By adds up a metric's series by one of their labels. Zeros are left out.
func (m Metrics) By(name, label string) map[string]int {
	sums := map[string]int{}
	for _, s := range m {
		if s.name == name && s.value != 0 {
			sums[s.labels[label]] += int(s.value)
		}
	}
	return sums
}
