package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Read parses a file and checks what can be checked without knowing the plugins. Fields that
// are not known, or stand twice, are refused.
func Read(data []byte) (*Configuration, error) {
	c := &Configuration{}
	if err := strictly(data, c); err != nil {
		return nil, err
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return nil, fmt.Errorf("apiVersion %q, kind %q: want %s, %s", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	if errs := c.validate(); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return c, nil
}

// Args parses a plugin's arguments into what is already set to the defaults. path is for errors.
func Args[T any](into *T, raw []byte, path *field.Path) error {
	if len(raw) == 0 {
		return nil
	}
	if err := strictly(raw, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var is metav1.TypeMeta
	kind := reflect.TypeFor[T]().Name()
	if err := yaml.Unmarshal(raw, &is); err != nil || is.Kind != "" && is.Kind != kind || is.APIVersion != "" && is.APIVersion != APIVersion {
		return fmt.Errorf("%s: apiVersion %q, kind %q: want %s, %s", path, is.APIVersion, is.Kind, APIVersion, kind)
	}
	return nil
}

// strictly decodes YAML or JSON.
func strictly(data []byte, into any) error {
	data, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
	}
	unknown, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		return err
	}
	return errors.Join(unknown...)
}

func (c *Configuration) validate() (errs field.ErrorList) {
	errs = append(errs, percentage(c.PercentageOfNodesToScore, field.NewPath("percentageOfNodesToScore"))...)
	if n := c.PodInitialBackoffSeconds; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(field.NewPath("podInitialBackoffSeconds"), *n, "must be greater than 0"))
	}
	initial := int64(1)
	if c.PodInitialBackoffSeconds != nil {
		initial = *c.PodInitialBackoffSeconds
	}
	if n := c.PodMaxBackoffSeconds; n != nil && *n < initial {
		errs = append(errs, field.Invalid(field.NewPath("podMaxBackoffSeconds"), *n, "must be at least podInitialBackoffSeconds"))
	}
	if c.Parallelism < 0 {
		errs = append(errs, field.Invalid(field.NewPath("parallelism"), c.Parallelism, "should be an integer value greater than zero"))
	}
	names := make(map[string]bool)
	for i := range c.Profiles {
		p, path := &c.Profiles[i], field.NewPath("profiles").Index(i)
		errs = append(errs, percentage(p.PercentageOfNodesToScore, path.Child("percentageOfNodesToScore"))...)
		if names[p.Name()] {
			errs = append(errs, field.Duplicate(path.Child("schedulerName"), p.Name()))
		}
		names[p.Name()] = true
		errs = append(errs, p.validateArgs(path.Child("pluginConfig"))...)
	}
	return append(errs, c.validateExtenders(field.NewPath("extenders"))...)
}

// Name returns the name that pods ask for.
func (p *Profile) Name() string {
	if p.SchedulerName == nil || *p.SchedulerName == "" {
		return "default-scheduler"
	}
	return *p.SchedulerName
}

func (p *Profile) validateArgs(path *field.Path) (errs field.ErrorList) {
	seen := make(map[string]bool)
	for i, c := range p.PluginConfig {
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	return errs
}

func percentage(n *int32, path *field.Path) field.ErrorList {
	if n != nil && (*n < 0 || *n > 100) {
		return field.ErrorList{field.Invalid(path, *n, "not in valid range [0-100]")}
	}
	return nil
}
