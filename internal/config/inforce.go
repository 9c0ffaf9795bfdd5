package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// InForce is a setting with its current value.
type InForce struct {
	Setting
	Value string
}

// InForce lists every setting with its value, in the order of Config. None is a secret: credentials belong to the SDK.
func (c *Config) InForce() []InForce {
	settings, v := Settings(), reflect.ValueOf(c).Elem()
	out := make([]InForce, len(settings))
	for i := range settings {
		out[i].Setting = settings[i]
		switch value := v.Field(i).Interface().(type) {
		case time.Duration:
			out[i].Value = duration(value)
		default:
			out[i].Value = fmt.Sprint(value)
		}
	}
	return out
}

// duration formats d the way people set it: 24h instead of 24h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
