package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// Load reads the settings from the environment and validates them. The error joins one error for each invalid setting,
// which begins with the setting's name.
func Load() (*Config, error) {
	var c Config
	var errs []error
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		// envconfig stops at its first error, so it gets one field at a time.
		field := reflect.New(reflect.StructOf([]reflect.StructField{v.Type().Field(i)}))
		if err := envconfig.Process(Prefix, field.Interface()); err != nil {
			errs = append(errs, explain(err))
			continue
		}
		v.Field(i).Set(field.Elem().Field(0))
	}
	for _, err := range c.validate() {
		// A setting that could not be parsed has no value to validate.
		if !slices.ContainsFunc(errs, func(parse error) bool { return settingOf(parse) == settingOf(err) }) {
			errs = append(errs, err)
		}
	}
	return &c, errors.Join(errs...)
}

// settingOf returns the name of the setting that an error is about, its first word.
func settingOf(err error) string {
	name, _, _ := strings.Cut(err.Error(), " ")
	return name
}

// explain rewrites a parse error of envconfig for people who don't know Go's types.
func explain(err error) error {
	var parse *envconfig.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	want := map[string]string{
		"time.Duration": "a duration like 500ms, 20s or 24h", "bool": "true or false",
		"float64": "a number", "int": "an integer", "int64": "an integer",
	}[parse.TypeName]
	return fmt.Errorf("%s is %q: must be %s", parse.KeyName, parse.Value, want)
}

// LoadForTable is Load for commands that use no queue: a missing WORKER_QUEUE_URL is not an error.
func LoadForTable() (*Config, error) { return loadWithout("WORKER_QUEUE_URL") }

// LoadForQueue is Load for commands that use no table: a missing WORKER_TABLE_NAME is not an error.
func LoadForQueue() (*Config, error) { return loadWithout("WORKER_TABLE_NAME") }

func loadWithout(setting string) (*Config, error) {
	c, err := Load()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return c, err
	}
	var left []error
	for _, err := range joined.Unwrap() {
		if os.Getenv(setting) != "" || settingOf(err) != setting {
			left = append(left, err)
		}
	}
	return c, errors.Join(left...)
}
