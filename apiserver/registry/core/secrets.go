package core

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func secrets() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Secret]{
		Singular:            "secret",
		New:                 func() *corev1.Secret { return &corev1.Secret{} },
		NewList:             func() runtime.Object { return &corev1.SecretList{} },
		Defaults:            defaultSecret,
		Validate:            validateSecret,
		ValidateUpdate:      validateSecretUpdate,
		UnconditionalUpdate: true,
		FieldNames:          []string{"type"},
		Fields:              func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} },
		Columns: []kind.Column[*corev1.Secret]{
			kind.NameColumn[*corev1.Secret](),
			kind.TextColumn("Type", "What the secret holds.", func(s *corev1.Secret) string { return string(s.Type) }),
			kind.CountColumn("Data", "How many keys it has.", func(s *corev1.Secret) int64 { return int64(len(s.Data)) }),
			kind.AgeColumn[*corev1.Secret](),
		},
	})
}

// defaultSecret sets the type, and moves stringData, which is write-only, into data.
func defaultSecret(s *corev1.Secret) {
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	path := field.NewPath("data")
	size, errs := validateDataKeys(s.Data, path)
	errs = append(errs, validateDataSize(size)...)
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			at := field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey)
			errs = append(errs, field.Required(at, ""))
		}
	case corev1.SecretTypeDockercfg:
		errs = append(errs, requireJSON(s, corev1.DockerConfigKey)...)
	case corev1.SecretTypeDockerConfigJson:
		errs = append(errs, requireJSON(s, corev1.DockerConfigJsonKey)...)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			errs = append(errs,
				field.Required(path.Key(corev1.BasicAuthUsernameKey), ""),
				field.Required(path.Key(corev1.BasicAuthPasswordKey), ""))
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(path.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(path.Key(key), ""))
			}
		}
	}
	return errs
}

// requireJSON checks that a key is there and holds JSON. The value stays out of the
// error: it is a secret.
func requireJSON(s *corev1.Secret, key string) field.ErrorList {
	path := field.NewPath("data").Key(key)
	raw, ok := s.Data[key]
	if !ok {
		return field.ErrorList{field.Required(path, "")}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return field.ErrorList{field.Invalid(path, "<secret contents redacted>", "must be a JSON object")}
	}
	return nil
}

func validateSecretUpdate(s, old *corev1.Secret) field.ErrorList {
	errs := frozen(old.Immutable, s.Immutable, map[string]bool{
		"data": !equality.Semantic.DeepEqual(s.Data, old.Data),
	})
	if s.Type != old.Type {
		errs = append(errs, field.Invalid(field.NewPath("type"), s.Type, kind.Immutable))
	}
	return errs
}
