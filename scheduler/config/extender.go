package config

import (
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Extender is an HTTP service that has a say in where pods go.
type Extender struct {
	URLPrefix        string            `json:"urlPrefix"`
	FilterVerb       string            `json:"filterVerb,omitempty"`
	PreemptVerb      string            `json:"preemptVerb,omitempty"`
	PrioritizeVerb   string            `json:"prioritizeVerb,omitempty"`
	Weight           int64             `json:"weight,omitempty"`
	BindVerb         string            `json:"bindVerb,omitempty"`
	EnableHTTPS      bool              `json:"enableHTTPS,omitempty"`
	TLSConfig        *ExtenderTLS      `json:"tlsConfig,omitempty"`
	HTTPTimeout      metav1.Duration   `json:"httpTimeout,omitempty"`
	NodeCacheCapable bool              `json:"nodeCacheCapable,omitempty"`
	ManagedResources []ManagedResource `json:"managedResources,omitempty"`
	Ignorable        bool              `json:"ignorable,omitempty"`
}

// ExtenderTLS is how an extender is recognized, and how we prove to it who we are.
type ExtenderTLS struct {
	Insecure   bool   `json:"insecure,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	CertFile   string `json:"certFile,omitempty"`
	KeyFile    string `json:"keyFile,omitempty"`
	CAFile     string `json:"caFile,omitempty"`
	CertData   []byte `json:"certData,omitempty"`
	KeyData    []byte `json:"keyData,omitempty"`
	CAData     []byte `json:"caData,omitempty"`
}

// ManagedResource is a resource that makes a pod the extender's business if it requests it.
type ManagedResource struct {
	Name               string `json:"name"`
	IgnoredByScheduler bool   `json:"ignoredByScheduler,omitempty"`
}

// Timeout returns how long the extender may take for an answer.
func (e *Extender) Timeout() time.Duration {
	if e.HTTPTimeout.Duration == 0 {
		return 5 * time.Second
	}
	return e.HTTPTimeout.Duration
}

func (c *Configuration) validateExtenders(path *field.Path) (errs field.ErrorList) {
	binders, managed := 0, make(map[string]bool)
	for i := range c.Extenders {
		e, at := &c.Extenders[i], path.Index(i)
		errs = append(errs, e.validateConnection(at)...)
		if e.PrioritizeVerb != "" && e.Weight <= 0 {
			errs = append(errs, field.Invalid(at.Child("weight"), e.Weight, "must have a positive weight applied to it"))
		}
		if e.BindVerb != "" {
			if binders++; binders > 1 {
				errs = append(errs, field.Invalid(at.Child("bindVerb"), e.BindVerb, "only one extender can implement bind"))
			}
		}
		for k, r := range e.ManagedResources {
			name := at.Child("managedResources").Index(k).Child("name")
			switch {
			case !isExtended(r.Name):
				errs = append(errs, field.Invalid(name, r.Name, "must be an extended resource, such as example.com/gpu"))
			case managed[r.Name]:
				errs = append(errs, field.Invalid(name, r.Name, "duplicate extender managed resource name"))
			}
			managed[r.Name] = true
		}
	}
	return errs
}

// isExtended reports whether nodes have the resource only because somebody says so.
func isExtended(name string) bool {
	prefix, _, qualified := strings.Cut(name, "/")
	return qualified && len(validation.IsQualifiedName(name)) == 0 && prefix != "kubernetes.io" && !strings.HasSuffix(prefix, ".kubernetes.io")
}

func (e *Extender) validateConnection(at *field.Path) (errs field.ErrorList) {
	u, err := url.Parse(e.URLPrefix)
	switch {
	case e.URLPrefix == "":
		errs = append(errs, field.Required(at.Child("urlPrefix"), ""))
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		errs = append(errs, field.Invalid(at.Child("urlPrefix"), e.URLPrefix, "must be the beginning of a URL of scheme http or https"))
	case u.Scheme == "http" && (e.EnableHTTPS || e.TLSConfig != nil):
		errs = append(errs, field.Invalid(at.Child("urlPrefix"), e.URLPrefix, "must begin with https where enableHTTPS or tlsConfig is set"))
	}
	if e.HTTPTimeout.Duration < 0 {
		errs = append(errs, field.Invalid(at.Child("httpTimeout"), e.HTTPTimeout.Duration.String(), "must not be negative"))
	}
	t := e.TLSConfig
	if t == nil {
		return errs
	}
	at = at.Child("tlsConfig")
	if t.Insecure && (t.CAFile != "" || len(t.CAData) > 0) {
		errs = append(errs, field.Forbidden(at.Child("insecure"), "specifying a root certificates file with the insecure flag is not allowed"))
	}
	if (t.CertFile != "" || len(t.CertData) > 0) != (t.KeyFile != "" || len(t.KeyData) > 0) {
		errs = append(errs, field.Invalid(at, "", "a certificate needs its key, and a key its certificate"))
	}
	return errs
}
